"""One GPU, several processes: what it does is the union of what each of them has it do.

Processes are known to share a GPU where its UUID or PCI id says so. Where a trace has neither, two
processes on one clock whose device number is the same may share it: that their operations hardly
overlap, as on a GPU that takes turns between processes, makes it likely.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from idlescope.analysis import intervals
from idlescope.analysis.intervals import Intervals, percent
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Device, Trace

# Of what two processes have a GPU do: what overlaps for more than this does not run in turns.
MAX_OVERLAP = 0.1
MIN_TOGETHER = 0.5  # of the shorter recording, in which the other one was recorded, too


class SharedGpu(Struct, frozen=True):
    """A GPU that several processes use, and what they have it do together. Times in ns."""

    identity: str  # UUID or PCI id; "" where it is not known
    processes: tuple[str, ...]  # what they are called
    window_ns: int  # from the first operation of any to the last
    active_ns: int  # any of them ran something
    active: Intervals  # when that was, disjoint

    def within(self, start: int, end: int) -> SharedGpu:
        """Return the same of the window [start, end)."""
        active = intervals.clip(self.active, start, end)
        return replace(self, window_ns=end - start, active_ns=active.measure, active=active)

    @property
    def known(self) -> bool:
        """Return whether the trace says that it is one GPU; else it is likely."""
        return bool(self.identity)

    @property
    def idle_ns(self) -> int:
        """Return the time when none of the processes ran anything."""
        return self.window_ns - self.active_ns

    @property
    def idle_pct(self) -> float:
        """Return idle as a share of the window."""
        return percent(self.idle_ns, self.window_ns)


def shared_gpus(trace: Trace) -> dict[Device, SharedGpu]:
    """Return the GPUs that several processes of a trace use, by each device that they are."""
    if trace.meta.clocks_apart or len(trace.devices) < 2:
        return {}
    used = distinct(trace.operations.device).tolist()
    found: dict[Device, SharedGpu] = {}
    for row in used:
        device = trace.devices[row]
        shared = _shared_by(trace, device, used)
        if shared is not None:
            found[device] = shared
    return found


def _shared_by(trace: Trace, device: Device, used: Sequence[int]) -> SharedGpu | None:
    """Return the GPU that a device of a trace is, where other processes use it, too."""
    rows = [row for row in used if _may_be(device, trace.devices[row])]
    processes = {trace.devices[row].process for row in rows}
    if len(processes) < 2 or device.process not in processes:
        return None
    active = [_active(trace, row) for row in rows]
    if not device.identity and not _in_turns(active):
        return None
    together = intervals.union(
        np.concatenate([busy.start for busy in active]),
        np.concatenate([busy.end for busy in active]),
    )
    return SharedGpu(
        identity=device.identity,
        processes=tuple(trace.devices[row].process_name for row in rows),
        window_ns=int(together.end[-1] - together.start[0]),
        active_ns=together.measure,
        active=together,
    )


def may_be_one(devices: Sequence[Device]) -> bool:
    """Return whether any two devices of several files may be one GPU."""
    identities = [device.identity for device in devices if device.identity]
    if len(set(identities)) < len(identities):
        return True
    # Ranks of one job have a GPU each, so only the others can meet, or be that of a rank.
    not_ranks = [
        (device.index, device.name)
        for device in devices
        if not device.identity and not device.process_name.startswith("rank ")
    ]
    return len(set(not_ranks)) < len(not_ranks)


def _may_be(device: Device, other: Device) -> bool:
    """Return whether two devices are one GPU, as far as their names tell.

    Ranks of one distributed job do not share a GPU: NCCL refuses it.
    """
    if device.identity or other.identity:
        return device.identity == other.identity
    ranks = device.process_name.startswith("rank ") or other.process_name.startswith(
        "rank "
    )
    same = device.process == other.process
    return device.index == other.index and device.name == other.name and (same or not ranks)


def _active(trace: Trace, row: int) -> Intervals:
    operations = trace.operations
    own = operations.device == row
    return intervals.union(operations.start[own], operations.end[own])


def _in_turns(active: Sequence[Intervals]) -> bool:
    """Return whether operations of several processes run at the same time, but in turns."""
    active = [busy for busy in active if busy.start.size]
    if len(active) < 2:
        return False
    starts = np.array([busy.start[0] for busy in active])
    ends = np.array([busy.end[-1] for busy in active])
    shortest = int((ends - starts).min())
    if int(ends.min() - starts.max()) < MIN_TOGETHER * shortest:
        return False
    together = intervals.union(
        np.concatenate([busy.start for busy in active]),
        np.concatenate([busy.end for busy in active]),
    )
    total_ns = sum(busy.measure for busy in active)
    least_ns = min(busy.measure for busy in active)
    return total_ns - together.measure <= MAX_OVERLAP * least_ns
