"""Whose GPU is whose in a Kineto file: which process launched the work of each device."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from idlescope.trace.distinct import distinct
from idlescope.trace.kineto.columns import Gpu, Track
from idlescope.trace.model import Calls, Operations
from idlescope.trace.table import Int32, Int64


class Origin(Struct, frozen=True):
    """Which device each GPU track is, and whose process each device and thread belongs to."""

    devices: tuple[tuple[int, int], ...]  # process (index into process_names), device index
    process_names: tuple[str, ...]
    device_of: Int32  # GPU track -> index into devices
    process_of: Int32  # thread -> index into process_names


def origins(
    operations: Operations,
    calls: Calls,
    gpus: tuple[Gpu, ...],
    threads: tuple[Track, ...],
) -> Origin:
    """Return whose work is whose.

    A device's records do not say which process launched them, unless idlescope wrote them. One file
    is one process's view as a rule, and its correlation ids are one space, whatever its pids are
    called. In a file merged of several processes, ids collide; there each GPU track belongs to the
    process whose calls precede most of its operations.

    `Operations.device` holds indices into `gpus`, `Calls.thread` into `threads`.
    """
    pids = tuple(dict.fromkeys(pid for pid, _ in threads))
    code_of_pid = {pid: code for code, pid in enumerate(pids)}
    thread_process = np.array([code_of_pid[pid] for pid, _ in threads], np.int32)
    caller = thread_process[calls.thread] if len(calls) else np.empty(0, np.int32)
    callers = distinct(caller)
    stated_pids = [gpu_track.process for gpu_track in gpus]
    if any(stated_pids):
        # a device whose process made no call in the trace is still its own
        pids = tuple(dict.fromkeys((*pids, *stated_pids)))
        code_of_pid = {pid: code for code, pid in enumerate(pids)}
        gpu_process = [code_of_pid[pid] for pid in stated_pids]
    elif callers.size > 1 and _collide(calls.correlation, caller):
        gpu_process = _launchers(operations, calls, caller, len(gpus))
    else:
        calling_pids = sorted(pids[process] for process in callers)
        return _one_process(gpus, calling_pids, len(threads))
    return _several_processes(gpus, gpu_process, pids, thread_process)


def _several_processes(
    gpus: tuple[Gpu, ...],
    gpu_process: list[int],
    pids: tuple[str, ...],
    thread_process: Int32,
) -> Origin:
    """Return the origin of a file of several processes, given the process of each GPU track."""
    device_keys = [
        (process, gpu_track.device)
        for process, gpu_track in zip(gpu_process, gpus, strict=True)
    ]
    devices = tuple(dict.fromkeys(device_keys))
    code_of_device = {device: code for code, device in enumerate(devices)}
    return Origin(
        devices=devices,
        process_names=pids,
        device_of=np.array([code_of_device[key] for key in device_keys], np.int32),
        process_of=thread_process,
    )


def _one_process(gpus: tuple[Gpu, ...], pids: list[str], threads: int) -> Origin:
    """Return the origin of a file that is one process's view, whatever its pids."""
    indices = tuple(dict.fromkeys(gpu_track.device for gpu_track in gpus))
    code_of_index = {index: code for code, index in enumerate(indices)}
    return Origin(
        devices=tuple((0, index) for index in indices),
        process_names=(", ".join(pids),),
        device_of=np.array(
            [code_of_index[gpu_track.device] for gpu_track in gpus], np.int32
        ),
        process_of=np.zeros(threads, np.int32),
    )


def _collide(correlation: Int64, caller: NDArray[np.int32]) -> bool:
    """Return whether two processes use the same correlation id."""
    known = correlation != 0
    ids_and_callers = np.stack((correlation[known], caller[known].astype(np.int64)))
    ids = np.unique(ids_and_callers, axis=1)[0]
    return bool((ids[1:] == ids[:-1]).any())


def _launchers(
    operations: Operations, calls: Calls, caller: Int32, tracks: int
) -> list[int]:
    """Return, for each GPU track, the process whose calls explain most of its operations.

    A call explains an operation of the same id that started after it, where no other process has a
    nearer one. A track of which nothing is explained belongs to the first process that calls.
    """
    explained, process = _nearest_callers(operations, calls, caller)
    processes = int(caller.max()) + 1
    pairs, counts = np.unique(
        operations.device[explained].astype(np.int64) * processes + process,
        return_counts=True,
    )
    launchers = [int(caller.min())] * tracks
    most = [0] * tracks
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        track, track_process = divmod(pair, processes)
        if count > most[track]:
            launchers[track], most[track] = track_process, count
    return launchers


def _nearest_callers(
    operations: Operations, calls: Calls, caller: Int32
) -> tuple[Int64, Int64]:
    """Return the rows of operations that a call explains, and the process of the nearest."""
    called = np.flatnonzero(calls.correlation != 0)
    order = np.lexsort((-caller[called], calls.start[called], calls.correlation[called]))
    called = called[order]

    # both sorted by id and time, a call before an operation that starts with it
    rows = np.flatnonzero(operations.correlation != 0)
    ids = np.concatenate((calls.correlation[called], operations.correlation[rows]))
    start = np.concatenate((calls.start[called], operations.start[rows]))
    is_operation = np.repeat([0, 1], [called.size, rows.size])
    together = np.lexsort((is_operation, start, ids))

    # the last call before each operation; of another id, it explains nothing
    position = np.where(together < called.size, together, -1)
    last_call = np.maximum.accumulate(np.where(position >= 0, np.arange(ids.size), -1))
    of_operations = np.flatnonzero(position < 0)
    of_operations = of_operations[last_call[of_operations] >= 0]
    call_rows = position[last_call[of_operations]]
    operation_rows = together[of_operations] - called.size
    same_id = (
        calls.correlation[called[call_rows]] == operations.correlation[rows[operation_rows]]
    )
    explained = rows[operation_rows[same_id]].astype(np.int64)
    return explained, caller[called[call_rows[same_id]]].astype(np.int64)
