"""The checks of the system: its clock, its cores and its disks."""

from __future__ import annotations

from pathlib import Path

from idlescope.doctor.findings import Answer, ok, problem, unknown
from idlescope.doctor.signs import Signs

CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
COARSE_S = 1e-6  # a coarser clock cannot tell kernels apart, which take a few microseconds
# Clock sources of Linux that are devices, not a register of the core.
SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies")

# A torch.profiler trace of a million events has 0.3 GB, an export by nsys several times its report.
DISK_BYTES = 10**9

# In this order, as `tempfile` does, which itself would write a file to try them.
TEMPORARY_VARIABLES = ("TMPDIR", "TEMP", "TMP")
TEMPORARY_FOLDERS = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - only looked at


def clock(signs: Signs) -> Answer:
    """Look whether times can be told well enough for kernels."""
    python_clock = signs.machine.clock()
    source = (signs.machine.read(CLOCK_SOURCE) or "").strip()
    statement = f"{python_clock.implementation}, {python_clock.resolution_s * 1e9:,.0f} ns"
    if source:
        statement = f"{statement}, source {source}"
    untrusted = "times of runs cannot be trusted on this system"
    if not python_clock.monotonic:
        return problem(f"{statement}: it can be set back", untrusted)
    if python_clock.resolution_s > COARSE_S:
        return problem(f"{statement}: too coarse for kernels", untrusted)
    if source in SLOW_CLOCKS:
        statement = f"{statement}: slow to read, which is in every time"
        return problem(statement, "boot with clocksource=tsc if it is stable")
    if signs.driver:
        statement = f"{statement}; --device cuda ties events to it every second"
    return ok(statement)


def cores(signs: Signs) -> Answer:
    """Look whether host and worker of the CPU device can have cores of their own."""
    worker_cores = signs.machine.worker_cores()
    if worker_cores:
        return ok(f"{len(worker_cores)} for the worker of --device cpu, 1 for the host")
    statement = (
        "one core, or a system that does not pin processes: "
        "host and worker of --device cpu share cores"
    )
    advice = (
        "give the process two cores or more (taskset, docker run --cpuset-cpus) on Linux"
    )
    return problem(statement, advice)


def reports(signs: Signs) -> Answer:
    """Look for room where reports are written."""
    folder = Path(signs.machine.folder()) / "reports"
    existing = (
        str(parent)
        for parent in (folder, *folder.parents)
        if signs.machine.writable(str(parent)) is not None
    )
    nearest = next(existing, None)
    if nearest is None:
        return unknown(f"{folder} has no folder above it")
    if not signs.machine.writable(nearest):
        statement = f"{folder} cannot be written: {nearest} is read-only"
        return problem(statement, "give --out a folder elsewhere")
    return _room(signs, nearest, str(folder), "make room, or give --out a folder elsewhere")


def temporary(signs: Signs) -> Answer:
    """Look for room where reports of nsys are exported."""
    environment = signs.machine.environment
    named_folders = [environment.get(variable, "") for variable in TEMPORARY_VARIABLES]
    candidates = [folder for folder in named_folders if folder] + list(TEMPORARY_FOLDERS)
    folder = next((folder for folder in candidates if signs.machine.writable(folder)), None)
    if folder is None:
        statement = "no temporary folder can be written"
        return problem(statement, "set TMPDIR to one: .nsys-rep are exported there")
    advice = "make room, or set TMPDIR: .nsys-rep are exported there"
    return _room(signs, folder, folder, advice)


def _room(signs: Signs, existing_folder: str, folder: str, advice: str) -> Answer:
    free_bytes = signs.machine.free_bytes(existing_folder)
    statement = f"{free_bytes / 1e9:,.1f} GB free for {folder}"
    return ok(statement) if free_bytes >= DISK_BYTES else problem(statement, advice)
