"""Lay the slices of a Trace on tracks that a viewer draws whole.

There is one track for each thread and stream, and more where slices overlap. A track is known by a
tid within its process. The first track of a thread or a stream has the thread's or the stream's
own number, from 1 on; slices that overlap without nesting lie on extra tracks behind the last
number. No track has the tid 0: Perfetto takes that for the process's main thread, whose tid is the
pid, and so for another track's tid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from idlescope.export.perfetto import lanes
from idlescope.trace.model import RangeKind, Trace
from idlescope.trace.table import Int64

OVERHEAD_SUFFIX = ": profiler overhead"


class Track(NamedTuple):
    """One line of a viewer."""

    owner: int  # index of the thread or the stream
    tid: int
    label: str

    @property
    def first(self) -> bool:
        """Whether it is the owner's first track."""
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
        """Whether an owner has more than one track."""
        return not all(track.first for track in self.tracks)


class _Slices(NamedTuple):
    """Slices that are to be laid on tracks."""

    start: Int64
    end: Int64
    owner: Int64  # thread or stream
    side: (
        Int64  # index into the labels of the owner's sides, which have tracks of their own
    )


def host(trace: Trace) -> Tracks:
    """Return the tracks of the ranges, followed by those of the calls.

    A thread's ranges and calls nest together. The profiler's own work is written beside the
    threads, not within them: it has tracks of its own.
    """
    ranges, call_table = trace.ranges, trace.calls
    is_overhead = ranges.kind == RangeKind.OVERHEAD
    slices = _Slices(
        start=np.concatenate((ranges.start, call_table.start)),
        end=np.concatenate((ranges.end, call_table.end)),
        owner=np.concatenate((ranges.thread, call_table.thread)).astype(np.int64),
        side=np.append(is_overhead, np.zeros(len(call_table), np.bool_)).astype(np.int64),
    )
    labels = [thread.label for thread in trace.threads]
    return _lay(slices, labels, ("", OVERHEAD_SUFFIX))


def device(trace: Trace, rows: Int64) -> Tracks:
    """Return the tracks of one device's operations, given by their rows."""
    operations = trace.operations
    stream = operations.stream[rows].astype(np.int64)
    slice_start, slice_end = operations.start[rows], operations.end[rows]
    slices = _Slices(slice_start, slice_end, stream, np.zeros_like(stream))
    return _lay(slices, [stream_label(stream_name) for stream_name in trace.streams], ("",))


def stream_label(stream: str) -> str:
    """Return what a stream's track is called: a viewer puts numbers of its own behind names."""
    return f"stream {stream}" if stream.isdecimal() else stream


def _lay(slices: _Slices, labels: Sequence[str], side_labels: Sequence[str]) -> Tracks:
    """Return the tracks of slices; `labels` are of owners, `side_labels` go behind them."""
    side_count = len(side_labels)
    slice_group = slices.owner * side_count + slices.side
    slice_lane = lanes.by_group(slices.start, slices.end, slice_group)

    # every lane of a group that is used is a track, in the order of owner, side and lane
    lane_count = int(slice_lane.max(initial=0)) + 1
    track_keys, track_of_slice = np.unique(
        slice_group * lane_count + slice_lane, return_inverse=True
    )
    tracks: list[Track] = []
    placed: set[int] = set()
    free_tid = first_tid(len(labels))
    for track_key in track_keys.tolist():
        of_group, lane_index = divmod(track_key, lane_count)
        owner_index, side_index = divmod(of_group, side_count)
        owner_label = labels[owner_index]
        if owner_index not in placed:
            placed.add(owner_index)
            track_id = first_tid(owner_index)
        else:
            owner_label += side_labels[side_index]
            track_id = free_tid
            free_tid += 1
        if lane_index:
            owner_label += f" ({lane_index + 1})"
        tracks.append(Track(owner_index, track_id, owner_label))
    track_ids = np.array([track.tid for track in tracks], np.int64)
    return Tracks(track_ids[track_of_slice], tuple(tracks))
