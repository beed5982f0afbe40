"""Whose GPU is whose in a Kineto file: which process launched the work of each device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.model import Calls, Operations
from idlescope.trace.table import Int64


@dataclass(frozen=True)
class Origin:
    """Devices as (process, index), which of them each GPU track is, and the process of each thread."""

    devices: tuple[tuple[int, int], ...]
    process_names: tuple[str, ...]
    device_of: NDArray[np.int32]  # GPU track -> index into devices
    process_of: NDArray[np.int32]  # thread -> index into process_names


def origins(
    operations: Operations,
    calls: Calls,
    gpus: tuple[tuple[str, int, str], ...],
    threads: tuple[tuple[str, str], ...],
) -> Origin:
    """Return whose work is whose.

    A device's records do not say which process launched them, unless idlescope wrote them. One file is one process's
    view as a rule, and its correlation ids are one space, whatever its pids are called. In a file merged of several
    processes, ids collide; there each GPU track belongs to the process whose calls precede most of its operations.
    """
    pids = tuple(dict.fromkeys(pid for pid, _ in threads))
    thread_pid = np.array([pids.index(pid) for pid, _ in threads], np.int32)
    caller = thread_pid[calls.thread] if len(calls) else np.empty(0, np.int32)
    callers = np.unique(caller)
    stated = [process for _, _, process in gpus]
    if any(stated):
        # a device whose process made no call in the trace is still its own
        pids = tuple(dict.fromkeys((*pids, *stated)))
        track_pid = np.array([pids.index(process) for process in stated], np.int32)
    elif callers.size > 1 and _collide(calls.correlation, caller):
        track_pid = np.array(
            [_launcher(operations, track, calls, caller, callers) for track in range(len(gpus))]
        )
    else:
        name = ", ".join(sorted(pids[c] for c in callers.tolist()))
        indices = tuple(dict.fromkeys(index for _, index, _ in gpus))
        device_of = np.array([indices.index(index) for _, index, _ in gpus], np.int32)
        return Origin(
            tuple((0, i) for i in indices), (name,), device_of, np.zeros(len(threads), np.int32)
        )
    keys = [(int(p), index) for p, (_, index, _) in zip(track_pid, gpus, strict=True)]
    devices = tuple(dict.fromkeys(keys))
    return Origin(devices, pids, np.array([devices.index(k) for k in keys], np.int32), thread_pid)


def _collide(correlation: Int64, caller: NDArray[np.int32]) -> bool:
    """Return whether two processes use the same correlation id."""
    known = correlation != 0
    pairs = np.unique(np.stack((correlation[known], caller[known].astype(np.int64))), axis=1)
    return bool((pairs[0, 1:] == pairs[0, :-1]).any())


def _launcher(
    operations: Operations,
    track: int,
    calls: Calls,
    caller: NDArray[np.int32],
    callers: NDArray[np.int32],
) -> int:
    """Return the process whose calls explain most operations of a GPU track: same id, made before, and nearest."""
    mine = (operations.device == track) & (operations.correlation != 0)
    wanted, start = operations.correlation[mine], operations.start[mine]
    lag = np.full((callers.size, wanted.size), np.iinfo(np.int64).max)
    for i, process in enumerate(callers):
        rows = np.flatnonzero((caller == process) & (calls.correlation != 0))
        rows = rows[np.argsort(calls.correlation[rows], kind="stable")]
        at = np.searchsorted(calls.correlation[rows], wanted)
        found = at < rows.size
        found[found] = calls.correlation[rows[at[found]]] == wanted[found]
        delay = start[found] - calls.start[rows[at[found]]]
        lag[i, found] = np.where(delay >= 0, delay, np.iinfo(np.int64).max)
    if not wanted.size or (lag == np.iinfo(np.int64).max).all():
        return int(callers[0])
    explained = (lag == lag.min(axis=0)) & (lag < np.iinfo(np.int64).max)
    return int(callers[np.argmax(explained.sum(axis=1))])
