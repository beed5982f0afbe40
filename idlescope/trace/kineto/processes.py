"""Whose GPU is whose in a Kineto file: which process launched the work of each device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.distinct import distinct
from idlescope.trace.kineto.columns import Gpu, Track
from idlescope.trace.model import Calls, Operations
from idlescope.trace.table import Bool, Int32, Int64

_NEVER = np.iinfo(np.int64).max  # a delay that no launch has


@dataclass(frozen=True)
class Origin:
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
    thread_process = np.array([pids.index(pid) for pid, _ in threads], np.int32)
    caller = thread_process[calls.thread] if len(calls) else np.empty(0, np.int32)
    callers = distinct(caller)
    stated_pids = [gpu_track.process for gpu_track in gpus]
    if any(stated_pids):
        # a device whose process made no call in the trace is still its own
        pids = tuple(dict.fromkeys((*pids, *stated_pids)))
        gpu_process = [pids.index(pid) for pid in stated_pids]
    elif callers.size > 1 and _collide(calls.correlation, caller):
        gpu_process = [
            _launcher(
                operations.take(operations.device == gpu_track), calls, caller, callers
            )
            for gpu_track in range(len(gpus))
        ]
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
    return Origin(
        devices=devices,
        process_names=pids,
        device_of=np.array([devices.index(device) for device in device_keys], np.int32),
        process_of=thread_process,
    )


def _one_process(gpus: tuple[Gpu, ...], pids: list[str], threads: int) -> Origin:
    """Return the origin of a file that is one process's view, whatever its pids."""
    indices = tuple(dict.fromkeys(gpu_track.device for gpu_track in gpus))
    return Origin(
        devices=tuple((0, index) for index in indices),
        process_names=(", ".join(pids),),
        device_of=np.array(
            [indices.index(gpu_track.device) for gpu_track in gpus], np.int32
        ),
        process_of=np.zeros(threads, np.int32),
    )


def _collide(correlation: Int64, caller: NDArray[np.int32]) -> bool:
    """Return whether two processes use the same correlation id."""
    known = correlation != 0
    ids_and_callers = np.stack((correlation[known], caller[known].astype(np.int64)))
    ids = np.unique(ids_and_callers, axis=1)[0]
    return bool((ids[1:] == ids[:-1]).any())


def _launcher(operations: Operations, calls: Calls, caller: Int32, callers: Int32) -> int:
    """Return the process whose calls explain most of one GPU track's operations.

    A call explains an operation of the same id that started after it, where no other process has
    a nearer one.
    """
    with_correlation = operations.take(operations.correlation != 0)
    delays = np.stack(
        [
            _delay(
                with_correlation, calls.take((caller == process) & (calls.correlation != 0))
            )
            for process in callers
        ]
    )
    explained = (delays == delays.min(axis=0)) & (delays < _NEVER)
    # the first process where nothing is explained
    return int(callers[np.argmax(explained.sum(axis=1))])


def _delay(operations: Operations, calls: Calls) -> Int64:
    """Return how long after its call each operation started, ns; _NEVER where none was before."""
    delay_ns = np.full(len(operations), _NEVER)
    calls = calls.take(np.argsort(calls.correlation, kind="stable"))
    call_row = np.searchsorted(calls.correlation, operations.correlation)
    has_call: Bool = call_row < len(calls)
    has_call[has_call] = (
        calls.correlation[call_row[has_call]] == operations.correlation[has_call]
    )
    since_call = operations.start[has_call] - calls.start[call_row[has_call]]
    delay_ns[has_call] = np.where(since_call >= 0, since_call, _NEVER)
    return delay_ns
