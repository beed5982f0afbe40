"""What this machine can measure: one finding per check. Nothing raises, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable

from idlescope.doctor import gpu, libraries, system
from idlescope.doctor.findings import Answer, Finding, unknown
from idlescope.doctor.machine import Machine
from idlescope.doctor.signs import Signs

Check = Callable[[Signs], Answer]

CHECKS: dict[str, Check] = {
    "python": libraries.python,
    "driver": gpu.driver,
    "torch": libraries.torch,
    "cuda": gpu.cuda,
    "triton": libraries.triton,
    "nvtx": libraries.nvtx,
    "nsys": libraries.nsys,
    "profiler permissions": gpu.permissions,
    "clock": system.clock,
    "cores": system.cores,
    "disk: reports": system.reports,
    "disk: temporary": system.temporary,
}


def examine(machine: Machine) -> tuple[Finding, ...]:
    """Return what every check found; one that fails is a finding too."""
    machine_signs = Signs(machine)
    return tuple(
        Finding(check_name, *_answer(check_signs, machine_signs))
        for check_name, check_signs in CHECKS.items()
    )


def _answer(check: Check, signs: Signs) -> Answer:
    try:
        return check(signs)
    except Exception as error:  # a machine that nobody foresaw
        return unknown(f"could not be told: {type(error).__name__}: {error}")
