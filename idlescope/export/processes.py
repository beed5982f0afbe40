"""Number the host processes of a Trace for formats that tell them apart by pid."""

from __future__ import annotations

from idlescope.trace.model import Trace

MAX_PID = 1 << 22  # Linux: PID_MAX_LIMIT; larger numbers in a process's name are no pid


def pids(trace: Trace) -> dict[int, int]:
    """Return a pid for each process code of a Trace: the process's own where its name is one, else from 1 on."""
    names = process_names(trace)
    found: dict[int, int] = {}
    for process, name in names.items():
        pid = int(name) if name.isascii() and name.isdecimal() else 0
        if 0 < pid < MAX_PID and str(pid) == name and pid not in found.values():
            found[process] = pid
    free = 1
    for process in names:
        while free in found.values():
            free += 1
        found.setdefault(process, free)
    return {process: found[process] for process in names}


def process_names(trace: Trace) -> dict[int, str]:
    """Return what tells each process apart, in the order of their codes; "" where the trace has no name for it."""
    codes = {d.process for d in trace.devices} | {t.process for t in trace.threads}
    names = dict.fromkeys(sorted(codes), "")
    for device in trace.devices:
        names[device.process] = names[device.process] or device.process_name
    return names
