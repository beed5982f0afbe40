"""Number the host processes of a Trace for formats that tell them apart by pid."""

from __future__ import annotations

from idlescope.trace.model import Trace

MAX_PID = 1 << 22  # Linux: PID_MAX_LIMIT; larger numbers in a process's name are no pid


def pids(trace: Trace) -> dict[int, int]:
    """Return a pid for each process code of a Trace.

    The process's own where its name is one, else the next free one from 1 on.
    """
    names = process_names(trace)
    assigned: dict[int, int] = {}
    for process, name in names.items():
        pid = _own_pid(name)
        if pid is not None and pid not in assigned.values():
            assigned[process] = pid
    free = 1
    for process in names:
        while free in assigned.values():
            free += 1
        assigned.setdefault(process, free)
    return {process: assigned[process] for process in names}


def _own_pid(name: str) -> int | None:
    """Return the pid that a process's name is; None where it is another text."""
    if not name.isascii() or not name.isdecimal():
        return None
    pid = int(name)
    return pid if 0 < pid < MAX_PID and str(pid) == name else None


def process_names(trace: Trace) -> dict[int, str]:
    """Return what tells each process apart, by code; "" where the trace has no name for it."""
    of_devices = {device.process for device in trace.devices}
    of_threads = {thread.process for thread in trace.threads}
    names = dict.fromkeys(sorted(of_devices | of_threads), "")
    for device in trace.devices:
        if not names[device.process]:
            names[device.process] = device.process_name
    return names
