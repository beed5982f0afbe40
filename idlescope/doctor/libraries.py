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
        says = "not installed; modelled runs and analyze work without"
        return missing(says, "pip install 'idlescope[torch]' for --device cpu and cuda")
    if numbers(version) < TORCH_LEAST:
        return problem(f"{version} is too old", f"pip install 'torch>={dotted(TORCH_LEAST)}'")
    if signs.torch_cuda is not None:
        return _torch_build(version, signs.torch_cuda)
    if signs.torch_probe is None:
        return ok(f"{version}; not imported, as there is no driver")
    if signs.torch_probe.status is None:
        says = f"{version}: asked for GPUs, it did not answer in {TORCH_S:.0f} s"
        return problem(says, "see driver")
    says = f"{version} cannot be imported: {last_line(signs.torch_probe)}"
    return problem(says, "install it again")


def _torch_build(version: str, torch_cuda: TorchCuda) -> Answer:
    if torch_cuda.hip:
        says = f"{version}, built for ROCm {torch_cuda.hip}"
        return problem(says, "--device cuda was never run on AMD GPUs")
    if torch_cuda.build is None:
        says = f"{version}, built for CPUs only, beside a driver"
        return problem(says, "install a CUDA build: https://pytorch.org/get-started/locally")
    says = f"{version}, built for CUDA {torch_cuda.build}; idlescope's CUDA device was run on"
    if numbers(version)[:2] == TORCH_RUN:
        return ok(f"{says} this version")
    tried = dotted(TORCH_RUN)
    advice = f"check with python tests/gpu/engine.py OUT, or use torch {tried}"
    return ok(f"{says} {tried} only", advice)


def triton(signs: Signs) -> Answer:
    """Look for triton."""
    version = signs.machine.version("triton")
    if version is not None:
        return ok(version)
    if not signs.driver:
        return missing("not installed; only --device cuda needs it")
    says = "not installed: --device cuda has no decode kernel"
    return missing(says, "pip install triton, of torch's CUDA build")


def nvtx(signs: Signs) -> Answer:
    """Look for an nvtx whose ranges tools record, and whether one is attached."""
    version = signs.machine.version("nvtx")
    environment = signs.machine.environment
    tool = environment.get("NVTX_INJECTION64_PATH")
    attached = "no tool attached (NVTX_INJECTION64_PATH is not set)"
    if tool:
        attached = f"attached: {tool}"
    if version is None:
        says = f"not installed; {attached}"
        return missing(says, "pip install 'nvtx!=0.2.12' to name ranges under nsys")
    says = f"{version}; {attached}"
    if numbers(version) == NVTX_SILENT:
        says = f"{says}; this version emits nothing under any tool"
        return problem(says, "pip install 'nvtx!=0.2.12'")
    if environment.get("NVTX_DISABLE"):
        return problem(f"{says}; NVTX_DISABLE turns its ranges off", "unset NVTX_DISABLE")
    if _unseen(version, signs.nsys_version):
        says = (
            f"{says}; nsys up to {dotted(NVTX_UNSEEN_BY)} records none of its ranges, "
            f"and this one is {signs.nsys_version}"
        )
        return problem(says, "take a newer nsys, or pip install 'nvtx<0.2.12'")
    return ok(says)


def _unseen(nvtx_version: str, nsys_version: str | None) -> bool:
    """Return whether this nsys records nothing of this nvtx."""
    if nsys_version is None or numbers(nvtx_version) < NVTX_SILENT:
        return False
    return numbers(nsys_version)[:2] <= NVTX_UNSEEN_BY


def nsys(signs: Signs) -> Answer:
    """Look for Nsight Systems whose exports are read."""
    if signs.nsys is None:
        says = "not on PATH; its exports are read without it"
        site = "https://developer.nvidia.com/nsight-systems"
        return missing(says, f"to record or export .nsys-rep here: {site}")
    path, answer = signs.nsys
    if answer is not None and answer.status is None:
        says = f"{path} did not answer in {COMMAND_S:.0f} s"
        return problem(says, f"run {path} --version yourself")
    version = signs.nsys_version
    if version is None:
        says = f"{path} does not tell its version: {last_line(answer)}"
        return problem(says, "install it again")
    if numbers(version) < NSYS_LEAST:
        says = f"{version}: exports older than {dotted(NSYS_LEAST)} are not read"
        return problem(says, "take a newer nsys")
    return ok(f"{version}, {path}")
