"""The checks of what is installed: Python, torch, triton, nvtx and nsys."""

from __future__ import annotations

import platform

from idlescope import __version__
from idlescope.doctor.findings import Answer, missing, ok, problem
from idlescope.doctor.machine import last_line
from idlescope.doctor.signs import COMMAND_S, TORCH_S, Signs, TorchCuda
from idlescope.doctor.versions import dotted, numbers

TORCH_LEAST = (2, 5)  # of the extra `torch` in pyproject.toml
TORCH_RUN = (2, 11)  # what tests/gpu/engine.py was run with on an H100 (README.md)
NSYS_LEAST = (2022,)  # the oldest exports that idlescope/trace/nsys reads

# Emits nothing under any tool (measured with tools that other versions are seen by).
NVTX_SILENT = (0, 2, 12)
# nsys 2022.4 and 2023.4 record nothing of nvtx 0.2.12 and later, all of 0.2.8 to 0.2.11.
NVTX_UNSEEN_BY = (2023, 4)


def python(signs: Signs) -> Answer:
    """Say the versions of Python and idlescope."""
    return ok(f"Python {platform.python_version()}, idlescope {__version__}")


def torch(signs: Signs) -> Answer:
    """Look for a torch that is new enough and, beside a driver, can be imported."""
    version = signs.torch_version
    if version is None:
        statement = "not installed; modelled runs and analyze work without"
        return missing(
            statement, "pip install 'idlescope[torch]' for --device cpu and cuda"
        )
    if numbers(version) < TORCH_LEAST:
        return problem(
            f"{version} is too old", f"pip install 'torch>={dotted(TORCH_LEAST)}'"
        )
    if signs.torch_cuda is not None:
        return _torch_build(version, signs.torch_cuda)
    if signs.torch_probe is None:
        return ok(f"{version}; not imported, as there is no driver")
    if signs.torch_probe.status is None:
        statement = f"{version}: asked for GPUs, it did not answer in {TORCH_S:.0f} s"
        return problem(statement, "see driver")
    statement = f"{version} cannot be imported: {last_line(signs.torch_probe)}"
    return problem(statement, "install it again")


def _torch_build(version: str, torch_cuda: TorchCuda) -> Answer:
    if torch_cuda.hip:
        statement = f"{version}, built for ROCm {torch_cuda.hip}"
        return problem(statement, "--device cuda was never run on AMD GPUs")
    if torch_cuda.build is None:
        statement = f"{version}, built for CPUs only, beside a driver"
        return problem(
            statement, "install a CUDA build: https://pytorch.org/get-started/locally"
        )
    statement = (
        f"{version}, built for CUDA {torch_cuda.build}; idlescope's CUDA device was run on"
    )
    if numbers(version)[:2] == TORCH_RUN:
        return ok(f"{statement} this version")
    tried_version = dotted(TORCH_RUN)
    advice = f"check with python tests/gpu/engine.py OUT, or use torch {tried_version}"
    return ok(f"{statement} {tried_version} only", advice)


def triton(signs: Signs) -> Answer:
    """Look for triton."""
    version = signs.machine.version("triton")
    if version is not None:
        return ok(version)
    if not signs.driver:
        return missing("not installed; only --device cuda needs it")
    statement = "not installed: --device cuda has no decode kernel"
    return missing(statement, "pip install triton, of torch's CUDA build")


def nvtx(signs: Signs) -> Answer:
    """Look for an nvtx whose ranges tools record, and whether one is attached."""
    version = signs.machine.version("nvtx")
    environment = signs.machine.environment
    injected_tool = environment.get("NVTX_INJECTION64_PATH")
    attached = "no tool attached (NVTX_INJECTION64_PATH is not set)"
    if injected_tool:
        attached = f"attached: {injected_tool}"
    if version is None:
        statement = f"not installed; {attached}"
        return missing(statement, "pip install 'nvtx!=0.2.12' to name ranges under nsys")
    statement = f"{version}; {attached}"
    if numbers(version) == NVTX_SILENT:
        statement = f"{statement}; this version emits nothing under any tool"
        return problem(statement, "pip install 'nvtx!=0.2.12'")
    if environment.get("NVTX_DISABLE"):
        return problem(
            f"{statement}; NVTX_DISABLE turns its ranges off", "unset NVTX_DISABLE"
        )
    if _unseen(version, signs.nsys_version):
        statement = (
            f"{statement}; nsys up to {dotted(NVTX_UNSEEN_BY)} records none of its ranges, "
            f"and this one is {signs.nsys_version}"
        )
        return problem(statement, "take a newer nsys, or pip install 'nvtx<0.2.12'")
    return ok(statement)


def _unseen(nvtx_version: str, nsys_version: str | None) -> bool:
    """Return whether this nsys records nothing of this nvtx."""
    if nsys_version is None or numbers(nvtx_version) < NVTX_SILENT:
        return False
    return numbers(nsys_version)[:2] <= NVTX_UNSEEN_BY


def nsys(signs: Signs) -> Answer:
    """Look for Nsight Systems whose exports are read."""
    if signs.nsys is None:
        statement = "not on PATH; its exports are read without it"
        nsight_site = "https://developer.nvidia.com/nsight-systems"
        return missing(statement, f"to record or export .nsys-rep here: {nsight_site}")
    nsys_path, answer = signs.nsys
    if answer is not None and answer.status is None:
        statement = f"{nsys_path} did not answer in {COMMAND_S:.0f} s"
        return problem(statement, f"run {nsys_path} --version yourself")
    version = signs.nsys_version
    if version is None:
        statement = f"{nsys_path} does not tell its version: {last_line(answer)}"
        return problem(statement, "install it again")
    if numbers(version) < NSYS_LEAST:
        statement = f"{version}: exports older than {dotted(NSYS_LEAST)} are not read"
        return problem(statement, "take a newer nsys")
    return ok(f"{version}, {nsys_path}")
