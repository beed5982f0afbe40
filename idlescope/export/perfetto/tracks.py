"""Lay the slices of a Trace on tracks that a viewer draws whole: one a thread and a stream, more where they overlap.

A track is known by a tid within its process. The first track of a thread or a stream has the thread's or the stream's
own number, from 1 on; slices that overlap without nesting lie on extra tracks behind the last number. No track has the
tid 0: Perfetto takes that for the process's main thread, whose tid is the pid, and so for another track's tid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from idlescope.export.perfetto import lanes
from idlescope.trace.model import RangeKind, Trace
from idlescope.trace.table import Int64


class Track(NamedTuple):
    """One line of a viewer."""

    owner: int  # index of the thread or the stream
    tid: int
    label: str

    @property
    def first(self) -> bool:
        """Return whether it is the owner's first track."""
        return self.tid == first_tid(self.owner)


def first_tid(owner: int) -> int:
    """Return the tid of the first track of a thread or a stream."""
    return owner + 1


@dataclass(frozen=True)
class Tracks:
    """Where each slice lies, and the tracks in the order in which they are shown."""

    tid: Int64
    tracks: tuple[Track, ...]

    @property
    def extra(self) -> bool:
        """Return whether an owner has more than one track."""
        return not all(track.first for track in self.tracks)


def host(trace: Trace) -> Tracks:
    """Return the tracks of the ranges, followed by those of the calls; a thread's ranges and calls nest together.

    The profiler's own work is written beside the threads, not within them: it has tracks of its own.
    """
    ranges, calls = trace.ranges, trace.calls
    overhead = np.concatenate((ranges.kind == RangeKind.OVERHEAD, np.zeros(len(calls), np.bool_)))
    thread = np.concatenate((ranges.thread, calls.thread)).astype(np.int64)
    start, end = (
        np.concatenate((ranges.start, calls.start)),
        np.concatenate((ranges.end, calls.end)),
    )
    labels = [t.label for t in trace.threads]
    return _lay(start, end, thread, overhead.astype(np.int64), labels, ("", ": profiler overhead"))


def device(trace: Trace, rows: Int64) -> Tracks:
    """Return the tracks of one device's operations, given by their rows."""
    o = trace.operations
    stream = o.stream[rows].astype(np.int64)
    return _lay(
        o.start[rows],
        o.end[rows],
        stream,
        np.zeros_like(stream),
        [stream_label(s) for s in trace.streams],
        ("",),
    )


def stream_label(stream: str) -> str:
    """Return what a stream's track is called: a viewer puts numbers of its own behind names."""
    return f"stream {stream}" if stream.isdecimal() else stream


def _lay(
    start: Int64,
    end: Int64,
    owner: Int64,
    side: Int64,
    labels: list[str],
    side_labels: tuple[str, ...],
) -> Tracks:
    group = owner * len(side_labels) + side
    lane = lanes.by_group(start, end, group)
    width = int(lane.max(initial=0)) + 1
    keys, track = np.unique(group * width + lane, return_inverse=True)
    tids, tracks = np.empty(keys.size, np.int64), []
    placed: set[int] = set()
    following = first_tid(len(labels))
    for i, key in enumerate(keys.tolist()):
        at, beside = divmod(key // width, len(side_labels))
        first = at not in placed
        placed.add(at)
        tids[i] = first_tid(at) if first else following
        following += not first
        label = labels[at] + ("" if first else side_labels[beside])
        tracks.append(
            Track(at, int(tids[i]), f"{label} ({key % width + 1})" if key % width else label)
        )
    return Tracks(tids[track], tuple(tracks))
