"""`idlescope doctor`."""

from __future__ import annotations

from idlescope.cli.options import AsJson


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine can measure, and what to do about what it cannot.

    Looks at torch, CUDA, driver, nvtx, nsys, permissions, clock, cores and disk; nothing is
    changed.
    """
    from idlescope.cli.actions.doctor import doctor_command

    doctor_command(as_json)
