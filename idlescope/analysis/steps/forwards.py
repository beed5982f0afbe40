"""Forward passes that no span tells of: they are cut at their launches.

vLLM launches dummy batches, with which a data-parallel rank without requests takes part in the
collectives of the others, outside its spans. And where decode is a CUDA graph, a prefill may be
launched kernel by kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import Ranges
from idlescope.trace.names.calls import GRAPH_LAUNCH, matching
from idlescope.trace.table import Bool, Int64

# Launches that keep the device busy for less than this share of a usual forward pass are none.
LEAST = 0.5
MOST = 0.5  # share of the steps that makes a habit


class Forwards(NamedTuple):
    """Groups of launches that could be forward passes, in order of time."""

    start: Int64  # of the first launch call
    end: Int64  # of the last launch call
    device_ns: Int64  # summed length of the operations that were launched
    by_graph: Bool  # whether a CUDA graph is launched in it

    def take(self, rows: Bool) -> Forwards:
        """Return some of the groups."""
        return Forwards(
            start=self.start[rows],
            end=self.end[rows],
            device_ns=self.device_ns[rows],
            by_graph=self.by_graph[rows],
        )


def eager_forwards(view: DeviceView, thread: int) -> Forwards:
    """Return the forward passes that a thread launched kernel by kernel, beside those by graphs.

    They lie between two waits, launch no graph, and keep the device busy about as long as a graph.
    """
    launched = _Launched.of(view, thread)
    groups = launched.between(np.sort(view.trace.calls.end[view.waits]))
    if not groups.by_graph.any():
        return groups.take(groups.by_graph)
    usual_ns = float(np.median(groups.device_ns[groups.by_graph]))
    return groups.take(~groups.by_graph & (groups.device_ns >= LEAST * usual_ns))


def forwards_outside(view: DeviceView, spans: Ranges, steps: Ranges) -> Forwards:
    """Return the forward passes that were launched outside all spans of an engine.

    `spans` are all of its spans; `steps` has a range per step, from its first span to the next
    step's. Where most steps launch something outside of their spans, such as a draft model, it
    belongs to the steps: no forward pass is returned.
    """
    if view.launching_thread < 0 or not len(steps):
        return _Launched.of(view, -1).between(np.empty(0, np.int64))
    launched = _Launched.of(view, view.launching_thread)
    covered = intervals.union(spans.start, spans.end)
    inside = intervals.covers(covered, launched.start)

    # What a usual step launches within its spans.
    step = np.searchsorted(steps.start, launched.start, "right") - 1
    within = inside & (step >= 0)
    of_steps = Groups(step[within], len(steps))
    device_ns = of_steps.total(launched.device_ns[within])
    graphs = of_steps.only(launched.is_graph[within]).sizes()
    spanned = device_ns > 0
    usual_ns, usual_graphs = 1.0, 1.0
    if spanned.any():
        usual_ns = float(np.median(device_ns[spanned]))
        usual_graphs = float(np.median(graphs[spanned]))

    outside = launched.take(~inside)
    cuts = np.concatenate((view.trace.calls.end[view.waits], spans.start))
    if usual_graphs <= 1:
        cuts = np.concatenate((cuts, outside.start[outside.is_graph]))
    groups = outside.between(np.sort(cuts))
    groups = groups.take(groups.by_graph | (groups.device_ns >= LEAST * usual_ns))
    step_of_group = np.searchsorted(steps.start, groups.start, "right") - 1
    with_one = Groups(step_of_group[step_of_group >= 0], len(steps)).occupied()
    if with_one.sum() > MOST * len(steps):
        return groups.take(np.zeros(groups.start.size, np.bool_))
    return groups


def cut_off_spans(outside: Forwards, spans: Ranges) -> Bool:
    """Return which forward passes outside all spans had one that an end of the recording cut off.

    A profiler does not record a span that it has seen no beginning or no end of. That is of one
    forward pass at each end; several before the first span, or after the last, had none.
    """
    before = outside.end <= spans.start.min()
    after = outside.start >= spans.end.max()
    alone = np.zeros(outside.start.size, np.bool_)
    for at_end in (before, after):
        if np.count_nonzero(at_end) == 1:
            alone |= at_end
    return alone


class _Launched(NamedTuple):
    """The calls of a thread that launched something, by start."""

    start: Int64
    end: Int64
    device_ns: Int64  # summed length of what each launched
    is_graph: Bool

    @classmethod
    def of(cls, view: DeviceView, thread: int) -> _Launched:
        calls = view.trace.calls
        linked = view.launches >= 0
        rows, operation_row = np.unique(view.launches[linked], return_inverse=True)
        length = (view.operations.end - view.operations.start)[linked]
        device_ns = Groups(operation_row, rows.size).total(length)
        own = calls.thread[rows] == thread
        rows, device_ns = rows[own], device_ns[own]
        order = np.argsort(calls.start[rows], kind="stable")
        rows = rows[order]
        graph_names = matching(GRAPH_LAUNCH, view.trace.names)
        is_graph = graph_names[calls.name[rows]] if rows.size else np.zeros(0, np.bool_)
        return cls(calls.start[rows], calls.end[rows], device_ns[order], is_graph)

    def take(self, rows: Bool) -> _Launched:
        return _Launched(
            start=self.start[rows],
            end=self.end[rows],
            device_ns=self.device_ns[rows],
            is_graph=self.is_graph[rows],
        )

    def between(self, cuts: Int64) -> Forwards:
        """Return the launches as groups: those between two of some times, in order."""
        part = np.searchsorted(cuts, self.start, "right")
        distinct, row = np.unique(part, return_inverse=True)
        groups = Groups(row, distinct.size)
        return Forwards(
            start=groups.first(self.start),
            end=groups.last(self.end),
            device_ns=groups.total(self.device_ns),
            by_graph=groups.only(self.is_graph).occupied(),
        )
