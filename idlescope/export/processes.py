"""Number the host processes of a Trace for formats that tell them apart by pid."""

from __future__ import annotations

from idlescope.trace.model import Trace

MAX_PID = 1 << 22  # Linux: PID_MAX_LIMIT; larger numbers in a process's name are no pid


def pids(trace: Trace) -> dict[int, int]:
    """Return a pid for each process code of a Trace.

    The process's own where its name is one, else the next free one from 1 on.
    """
    names_by_process = process_names(trace)
    assigned: dict[int, int] = {}
    for process, process_name in names_by_process.items():
        process_id = _own_pid(process_name)
        if process_id is not None and process_id not in assigned.values():
            assigned[process] = process_id
    free_pid = 1
    for process in names_by_process:
        while free_pid in assigned.values():
            free_pid += 1
        assigned.setdefault(process, free_pid)
    return {process: assigned[process] for process in names_by_process}


def _own_pid(name: str) -> int | None:
    """Return the pid that a process's name is; None where it is another text."""
    if not name.isascii() or not name.isdecimal():
        return None
    process_id = int(name)
    return process_id if 0 < process_id < MAX_PID and str(process_id) == name else None


def process_names(trace: Trace) -> dict[int, str]:
    """Return what tells each process apart, by code; "" where the trace has no name for it."""
    of_devices = {device.process for device in trace.devices}
    of_threads = {thread.process for thread in trace.threads}
    names_by_process = dict.fromkeys(sorted(of_devices | of_threads), "")
    for device in trace.devices:
        if not names_by_process[device.process]:
            names_by_process[device.process] = device.process_name
    return names_by_process
