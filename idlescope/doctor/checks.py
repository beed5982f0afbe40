"""What this machine can measure: one finding a check, each with what to do. Nothing raises, and nothing is changed."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from idlescope import __version__
from idlescope.doctor.machine import DRIVER, Machine, Output

OK, MISSING, PROBLEM, UNKNOWN = "ok", "missing", "problem", "unknown"

COMMAND_S = 5.0  # for `nvidia-smi` and `nsys --version`: they take up to 1 or 2 s where the driver is asleep
TORCH_S = 60.0  # to import torch from a cold disk and wake several GPUs
PROC = "/proc/driver/nvidia"
TORCH_LEAST = (2, 5)  # of the extra `torch` in pyproject.toml
TORCH_RUN = (2, 11)  # what tests/gpu/engine.py was run with on an H100 (README.md, "Is it right?")
NVTX_SILENT = (
    0,
    2,
    12,
)  # emits nothing under any tool (measured with tools that other versions are seen by)
NVTX_UNSEEN_BY = (
    2023,
    4,
)  # nsys 2022.4 and 2023.4 record nothing of nvtx 0.2.12 and later, all of 0.2.8 to 0.2.11
NSYS_LEAST = (2022,)  # the oldest exports that trace/nsys.py reads
# Linux capabilities(7), bits of CapEff; the driver takes the second from R565 on:
# https://developer.nvidia.com/ERR_NVGPUCTRPERM
CAP_SYS_ADMIN, CAP_PERFMON, PERFMON_DRIVER = 21, 38, (565,)
COARSE_S = 1e-6  # a coarser clock cannot tell kernels apart, which take a few microseconds
SLOW_CLOCKS = (
    "hpet",
    "acpi_pm",
    "jiffies",
)  # clock sources of Linux that are devices, not a register of the core
DISK_BYTES = (
    10**9
)  # a torch.profiler trace of a million events has 0.3 GB, an export by nsys several times its report
# in this order, as `tempfile` does, which itself would write a file to try them
TEMPORARY = ("TMPDIR", "TEMP", "TMP")
TEMPORARY_FOLDERS = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - only looked at

# in a process of its own: a torch that is broken, or a driver that hangs, must not take the doctor along
PROBE = """
import sys
sys.path[:] = [p for p in sys.path if p]
import json, torch
found = torch.cuda.is_available()
devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if found else []
print(json.dumps({
    "build": torch.version.cuda, "hip": torch.version.hip, "devices": [[d.name, d.total_memory] for d in devices],
}))
"""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str
    state: str  # ok, missing, problem or unknown
    says: str
    advice: str = ""  # what to do; empty where there is nothing


class Signs:
    """What several checks need of a machine, asked once at most."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @cached_property
    def smi(self) -> Output | None:
        """Return the driver's version, and name and memory of each GPU, a line each; None without `nvidia-smi`."""
        tool = self.machine.which("nvidia-smi")
        query = "--query-gpu=driver_version,name,memory.total"
        return (
            None
            if tool is None
            else self.machine.run([tool, query, "--format=csv,noheader"], COMMAND_S)
        )

    @cached_property
    def driver(self) -> bool:
        """Return whether there are signs of a driver."""
        return self.machine.has_driver()

    @cached_property
    def driver_version(self) -> str | None:
        """Return the driver's version; `nvidia-smi` is run only where the kernel does not say."""
        if (text := self.machine.read(DRIVER)) and (
            found := re.search(r"\s(\d+\.\d+(\.\d+)?)\s", text)
        ):
            return found[1]
        lines = self.smi.text.splitlines() if self.smi is not None and self.smi.status == 0 else []
        return lines[0].split(",")[0].strip() if lines else None

    @cached_property
    def torch(self) -> str | None:
        """Return the version of torch."""
        return self.machine.version("torch")

    @cached_property
    def probe(self) -> Output | None:
        """Return what torch says when imported, only where there are signs of a driver."""
        if not self.driver or self.torch is None:
            return None
        return self.machine.run([sys.executable, "-c", PROBE], TORCH_S)

    @cached_property
    def cuda(self) -> dict[str, Any] | None:
        """Return what torch knows of CUDA; None where it was not asked or did not answer."""
        if self.probe is None or self.probe.status != 0:
            return None
        return dict(json.loads(self.probe.text.splitlines()[-1]))

    @cached_property
    def nsys(self) -> tuple[str, Output | None] | None:
        """Return where `nsys` is and what it answers."""
        tool = self.machine.which("nsys")
        return None if tool is None else (tool, self.machine.run([tool, "--version"], COMMAND_S))

    @cached_property
    def nsys_version(self) -> str | None:
        """Return the version of `nsys`: 2024.5.1 of "NVIDIA Nsight Systems version 2024.5.1.113-245134619542v0"."""
        answer = None if self.nsys is None else self.nsys[1]
        found = (
            re.search(r"version (\d{4}(\.\d+){1,2})", f"{answer.text}\n{answer.errors}")
            if answer
            else None
        )
        return found[1] if found else None


def examine(machine: Machine) -> tuple[Finding, ...]:
    """Return what every check found; one that fails is a finding too."""
    signs = Signs(machine)
    return tuple(_carefully(name, check, signs) for name, check in CHECKS.items())


def _carefully(name: str, check: Callable[[Signs], tuple[str, ...]], signs: Signs) -> Finding:
    try:
        return Finding(name, *check(signs))
    except Exception as error:  # a machine that nobody foresaw
        return Finding(name, UNKNOWN, f"could not be told: {type(error).__name__}: {error}")


def _python(signs: Signs) -> tuple[str, ...]:
    return OK, f"Python {platform.python_version()}, idlescope {__version__}"


def _driver(signs: Signs) -> tuple[str, ...]:
    if not signs.driver:
        return (
            MISSING,
            "no NVIDIA driver",
            "use --device modelled or cpu, or analyze traces of other machines",
        )
    if signs.driver_version is not None:
        return OK, f"NVIDIA {signs.driver_version}"
    if signs.smi is not None and signs.smi.status is None:
        return (
            PROBLEM,
            f"nvidia-smi did not answer in {COMMAND_S:.0f} s",
            "look at dmesg for Xid errors; reboot",
        )
    said = _last_line(signs.smi)
    return (
        PROBLEM,
        f"nvidia-smi fails: {said}",
        "load the driver (modprobe nvidia), or install it again",
    )


def _torch(signs: Signs) -> tuple[str, ...]:
    if (version := signs.torch) is None:
        says = "not installed; modelled runs and analyze work without"
        return MISSING, says, "pip install 'idlescope[torch]' for --device cpu and cuda"
    if numbers(version) < TORCH_LEAST:
        return PROBLEM, f"{version} is too old", f"pip install 'torch>={_dots(TORCH_LEAST)}'"
    if signs.cuda is not None:
        return _torch_build(version, signs.cuda)
    if signs.probe is None:
        return OK, f"{version}; not imported, as there is no driver"
    if signs.probe.status is None:
        return (
            PROBLEM,
            f"{version}: asked for GPUs, it did not answer in {TORCH_S:.0f} s",
            "see driver",
        )
    return PROBLEM, f"{version} cannot be imported: {_last_line(signs.probe)}", "install it again"


def _torch_build(version: str, cuda: dict[str, Any]) -> tuple[str, ...]:
    if cuda["hip"]:
        return (
            PROBLEM,
            f"{version}, built for ROCm {cuda['hip']}",
            "--device cuda was never run on AMD GPUs",
        )
    if cuda["build"] is None:
        says = f"{version}, built for CPUs only, beside a driver"
        return PROBLEM, says, "install a CUDA build: https://pytorch.org/get-started/locally"
    says = f"{version}, built for CUDA {cuda['build']}"
    if numbers(version)[:2] == TORCH_RUN:
        return OK, f"{says}; idlescope's CUDA device was run on this version"
    advice = f"check with python tests/gpu/engine.py OUT, or use torch {_dots(TORCH_RUN)}"
    return OK, f"{says}; idlescope's CUDA device was run on {_dots(TORCH_RUN)} only", advice


def _cuda(signs: Signs) -> tuple[str, ...]:
    if not signs.driver:
        return MISSING, "no driver, so no CUDA device", "use --device modelled or cpu"
    if signs.cuda is None:
        smi = signs.smi
        lines = smi.text.splitlines() if smi is not None and smi.status == 0 else []
        seen = f"; nvidia-smi lists {_listed([','.join(line.split(',')[1:]).strip() for line in lines])}"
        return UNKNOWN, f"torch does not tell{seen if lines else ''}", "see torch"
    devices = [f"{name}, {size / 2**30:.0f} GiB" for name, size in signs.cuda["devices"]]
    if devices:
        return OK, _listed(devices)
    hidden = signs.machine.environment.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return (
            PROBLEM,
            f"torch sees no device and CUDA_VISIBLE_DEVICES is {hidden!r}",
            "unset CUDA_VISIBLE_DEVICES",
        )
    if signs.cuda["build"] is None:
        return PROBLEM, "this torch sees no device", "see torch"
    advice = "the driver may be older than torch's CUDA, or the container have no GPU (docker run --gpus all)"
    return PROBLEM, "torch sees no device", advice


def _triton(signs: Signs) -> tuple[str, ...]:
    if (version := signs.machine.version("triton")) is not None:
        return OK, version
    if not signs.driver:
        return MISSING, "not installed; only --device cuda needs it"
    return (
        MISSING,
        "not installed: --device cuda has no decode kernel",
        "pip install triton, of torch's CUDA build",
    )


def _nvtx(signs: Signs) -> tuple[str, ...]:
    version, environment = signs.machine.version("nvtx"), signs.machine.environment
    tool = environment.get("NVTX_INJECTION64_PATH")
    attached = (
        f"attached: {tool}" if tool else "no tool attached (NVTX_INJECTION64_PATH is not set)"
    )
    if version is None:
        return (
            MISSING,
            f"not installed; {attached}",
            "pip install 'nvtx!=0.2.12' to name ranges under nsys",
        )
    says = f"{version}; {attached}"
    if numbers(version) == NVTX_SILENT:
        return (
            PROBLEM,
            f"{says}; this version emits nothing under any tool",
            "pip install 'nvtx!=0.2.12'",
        )
    if environment.get("NVTX_DISABLE"):
        return PROBLEM, f"{says}; NVTX_DISABLE turns its ranges off", "unset NVTX_DISABLE"
    nsys = signs.nsys_version
    if nsys is not None and numbers(nsys)[:2] <= NVTX_UNSEEN_BY and numbers(version) >= NVTX_SILENT:
        says = f"{says}; nsys up to {_dots(NVTX_UNSEEN_BY)} records none of its ranges, and this one is {nsys}"
        return PROBLEM, says, "take a newer nsys, or pip install 'nvtx<0.2.12'"
    return OK, says


def _nsys(signs: Signs) -> tuple[str, ...]:
    if signs.nsys is None:
        advice = "to record or export .nsys-rep here: https://developer.nvidia.com/nsight-systems"
        return MISSING, "not on PATH; its exports are read without it", advice
    tool, answer = signs.nsys
    if answer is not None and answer.status is None:
        return (
            PROBLEM,
            f"{tool} did not answer in {COMMAND_S:.0f} s",
            f"run {tool} --version yourself",
        )
    if (version := signs.nsys_version) is None:
        return (
            PROBLEM,
            f"{tool} does not tell its version: {_last_line(answer)}",
            "install it again",
        )
    if numbers(version) < NSYS_LEAST:
        return (
            PROBLEM,
            f"{version}: exports older than {_dots(NSYS_LEAST)} are not read",
            "take a newer nsys",
        )
    return OK, f"{version}, {tool}"


def _permissions(signs: Signs) -> tuple[str, ...]:
    if not signs.driver:
        return MISSING, "no driver, so nothing to permit"
    # the kernel module's option is NVreg_RestrictProfilingToAdminUsers; the driver lists it by its second name
    text = signs.machine.read(f"{PROC}/params") or ""
    found = re.search(r"(?:RmProfilingAdminOnly|RestrictProfilingToAdminUsers):\s*(\d+)", text)
    if found is None:
        return (
            UNKNOWN,
            f"{PROC}/params does not say who may read counters",
            "try `ncu --query-metrics`",
        )
    if found[1] == "0":
        return OK, "every user may read performance counters"
    if _privileged(signs):
        return OK, "performance counters are for administrators, and this process is one"
    says = (
        "performance counters are refused with ERR_NVGPUCTRPERM: that stops Nsight Compute and nsys's GPU metrics, "
        "not the kernel timelines that idlescope reads"
    )
    advice = (
        "if you need counters: as root, `options nvidia NVreg_RestrictProfilingToAdminUsers=0` in /etc/modprobe.d and "
        "reboot; or start the tool with sudo, a container with --cap-add=SYS_ADMIN"
    )
    return PROBLEM, says, advice


def _privileged(signs: Signs) -> bool:
    """Return whether the driver takes this process for an administrator's: root in a container need not be one."""
    found = re.search(
        r"^CapEff:\s*([0-9a-fA-F]+)", signs.machine.read("/proc/self/status") or "", re.MULTILINE
    )
    if found is None:
        return signs.machine.user() == 0
    capabilities = int(found[1], 16)
    if capabilities >> CAP_SYS_ADMIN & 1:
        return True
    return (
        bool(capabilities >> CAP_PERFMON & 1)
        and numbers(signs.driver_version or "") >= PERFMON_DRIVER
    )


def _clock(signs: Signs) -> tuple[str, ...]:
    clock = signs.machine.clock()
    source = (
        signs.machine.read("/sys/devices/system/clocksource/clocksource0/current_clocksource") or ""
    ).strip()
    says = f"{clock.implementation}, {clock.resolution_s * 1e9:,.0f} ns{f', source {source}' if source else ''}"
    if not clock.monotonic:
        return (
            PROBLEM,
            f"{says}: it can be set back",
            "times of runs cannot be trusted on this system",
        )
    if clock.resolution_s > COARSE_S:
        return (
            PROBLEM,
            f"{says}: too coarse for kernels",
            "times of runs cannot be trusted on this system",
        )
    if source in SLOW_CLOCKS:
        return (
            PROBLEM,
            f"{says}: slow to read, which is in every time",
            "boot with clocksource=tsc if it is stable",
        )
    return OK, f"{says}{'; --device cuda ties events to it every second' if signs.driver else ''}"


def _cores(signs: Signs) -> tuple[str, ...]:
    cores = signs.machine.worker_cores()
    if cores:
        return OK, f"{len(cores)} for the worker of --device cpu, 1 for the host"
    says = "one core, or a system that does not pin processes: host and worker of --device cpu share cores"
    return (
        PROBLEM,
        says,
        "give the process two cores or more (taskset, docker run --cpuset-cpus) on Linux",
    )


def _reports(signs: Signs) -> tuple[str, ...]:
    folder = Path(signs.machine.folder()) / "reports"
    there = next(
        (str(f) for f in (folder, *folder.parents) if signs.machine.writable(str(f)) is not None),
        None,
    )
    if there is None:
        return UNKNOWN, f"{folder} has no folder above it"
    if not signs.machine.writable(there):
        return (
            PROBLEM,
            f"{folder} cannot be written: {there} is read-only",
            "give --out a folder elsewhere",
        )
    return _room(signs, there, str(folder), "make room, or give --out a folder elsewhere")


def _temporary(signs: Signs) -> tuple[str, ...]:
    named = [
        signs.machine.environment[name] for name in TEMPORARY if signs.machine.environment.get(name)
    ]
    folder = next((f for f in (*named, *TEMPORARY_FOLDERS) if signs.machine.writable(f)), None)
    if folder is None:
        return (
            PROBLEM,
            "no temporary folder can be written",
            "set TMPDIR to one: .nsys-rep are exported there",
        )
    return _room(signs, folder, folder, "make room, or set TMPDIR: .nsys-rep are exported there")


def _room(signs: Signs, there: str, folder: str, advice: str) -> tuple[str, ...]:
    free = signs.machine.free_bytes(there)
    says = f"{free / 1e9:,.1f} GB free for {folder}"
    return (OK, says) if free >= DISK_BYTES else (PROBLEM, says, advice)


CHECKS: dict[str, Callable[[Signs], tuple[str, ...]]] = {
    "python": _python,
    "driver": _driver,
    "torch": _torch,
    "cuda": _cuda,
    "triton": _triton,
    "nvtx": _nvtx,
    "nsys": _nsys,
    "profiler permissions": _permissions,
    "clock": _clock,
    "cores": _cores,
    "disk: reports": _reports,
    "disk: temporary": _temporary,
}


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with: (2, 11, 0) of 2.11.0+cu130, (2, 9, 0) of 2.9.0a0."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _dots(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _last_line(output: Output | None) -> str:
    lines = "" if output is None else f"{output.text}\n{output.errors}".strip()
    return lines.splitlines()[-1] if lines else "it says nothing"


def _listed(names: list[str]) -> str:
    """Return names with how often each comes, in order."""
    return "; ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
