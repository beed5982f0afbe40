"""How the work of a trace divides into steps of the batching loop.

A step is one iteration of the loop: one forward pass, and what the host does for it. Where a
recording does not name them, steps are found, in this order, by the spans of a known engine,
torch.profiler's `ProfilerStep#` or JAX's step annotations, the launches of CUDA graphs, or the
rhythm of the calls that wait for the device. An operation belongs to the step in which it was
launched.

What scheduled no token is no step of the engine, though it may run a dummy batch on the device: the
ranges of such are of the kind EMPTY (`Division.of_engine`, `Division.of_nothing`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups
from idlescope.analysis.intervals import AFTER_EVERYTHING
from idlescope.analysis.steps.around import places_of
from idlescope.analysis.steps.cuts import (
    between_bursts,
    between_launches,
    for_tokens,
    forward_launches,
    last_before,
    places_by_launches,
    with_unwaited,
)
from idlescope.analysis.steps.forwards import (
    cut_off_spans,
    eager_forwards,
    forwards_outside,
)
from idlescope.analysis.steps.step_kind import StepKind, stated_kinds
from idlescope.analysis.view import DeviceView, most_common_thread
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Calls, RangeKind, Ranges, Trace
from idlescope.trace.names.calls import GRAPH_LAUNCH, LAUNCH, matching
from idlescope.trace.names.engines import (
    FORWARD,
    PROFILER_STEP,
    SCHEDULE,
    STEP,
    STEP_MARKERS,
    WORKING,
)
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.table import Bool, Int64

# How steps were found, beside "<engine> spans" and "<engine> frames".
RECORDED = "recorded"  # our own recordings say it
PROFILER_STEPS = "ProfilerStep#"
STEP_ANNOTATIONS = "step annotations"
GRAPH_LAUNCHES = "graph launches"
WAITING_CALLS = "waiting calls"
NOT_FOUND = "none"
ENOUGH = 3  # launches or waits that make a rhythm
MOST_STEPS = 2**30  # a number beyond is no count of steps


class Division(Struct, frozen=True):
    """The host's time, divided into steps, before anything is measured."""

    found: str  # how; "none" where there are no steps
    host: Ranges  # `step` is the number of the step that each range is host work for
    step: Int64  # step of each operation of the device; -1: none
    kind: Int64  # code of the StepKind of each range of `host`

    @property
    def of_engine(self) -> Division:
        """Return the steps that work for requests."""
        return self._only(self.kind != StepKind.EMPTY.code)

    @property
    def of_nothing(self) -> Division:
        """Return the steps that scheduled no token."""
        return self._only(self.kind == StepKind.EMPTY.code)

    def _only(self, rows: Bool) -> Division:
        if rows.all():
            return self
        host = self.host.take(rows)
        step = np.where(np.isin(self.step, host.step), self.step, -1)
        return Division(self.found, host, step, self.kind[rows])


class HostSteps(NamedTuple):
    """The host's part of a division."""

    found: str
    ranges: Ranges  # sorted by start
    kind: Int64  # code of the StepKind of each

    @classmethod
    def of_unknown_kind(cls, found: str, ranges: Ranges) -> HostSteps:
        """Return steps of which nothing says what they compute."""
        return cls(found, ranges, np.full(len(ranges), StepKind.UNKNOWN.code, np.int64))


_NONE = HostSteps.of_unknown_kind(NOT_FOUND, Ranges.empty())


def find(view: DeviceView) -> Division:
    """Return how the work of one device divides into steps."""
    ranges = _spans(view.trace, view.process, view.names)
    recorded = ranges.take(ranges.step >= 0)
    if len(recorded) and (view.operations.step >= 0).any():
        kind = HostSteps.of_unknown_kind(RECORDED, recorded).kind
        return Division(RECORDED, recorded, view.operations.step.astype(np.int64), kind)
    steps = find_by_names(view.trace, view.process, view.names)
    if by_engine(steps.found):
        steps = _with_forwards_outside(view, steps, ranges)
        if _begins_late(view, ranges):
            steps = steps._replace(ranges=_from_wait_to_wait(view, steps.ranges))
        steps = _engine_first(steps)
    if not len(steps.ranges):
        steps = _by_calls(view)
    if steps.found not in (PROFILER_STEPS, STEP_ANNOTATIONS):
        steps = steps._replace(kind=_kinds_by_launch(view, steps))
    step = _step_of_launch(view, steps.ranges)
    return Division(steps.found, steps.ranges, step, steps.kind)


def by_engine(found: str) -> bool:
    """Return whether the spans or frames of a known engine told the steps."""
    return found.endswith((" spans", " frames"))


def find_by_names(trace: Trace, process: int, names: SpanNames) -> HostSteps:
    """Return the steps of a process that the names of its spans tell, without any device."""
    ranges = _spans(trace, process, names)
    if not len(ranges):
        return _NONE
    steps = _by_spans(trace, ranges, names)
    if not len(steps.ranges):
        steps = _by_profiler(trace, ranges)
    by_start = np.argsort(steps.ranges.start, kind="stable")
    in_order, kind = steps.ranges.take(by_start), steps.kind[by_start]
    stated = stated_kinds(trace.names, ranges, in_order)
    kind = np.where(kind == StepKind.EMPTY.code, kind, stated)
    return HostSteps(steps.found, in_order, kind)


def _with_forwards_outside(view: DeviceView, steps: HostSteps, ranges: Ranges) -> HostSteps:
    """Return the steps with those forward passes that were launched outside all of their spans.

    They are dummy batches, in engines that have a span around each step, but for those whose span
    an end of the recording cut off.
    """
    if not view.names.named(STEP)[ranges.name].any():
        return steps
    spans = ranges.take(view.names.phase[ranges.name] >= 0)
    outside = forwards_outside(view, spans, steps.ranges)
    if not outside.start.size:
        return steps
    starts = np.concatenate((steps.ranges.start, outside.start))
    empty = ~cut_off_spans(outside, spans)
    kind_outside = np.where(empty, StepKind.EMPTY.code, StepKind.UNKNOWN.code)
    kind = np.concatenate((steps.kind, kind_outside))
    order = np.argsort(starts, kind="stable")
    last = max(int(steps.ranges.end[-1]), int(outside.end.max()))
    thread = int(steps.ranges.thread[0])
    cut = _from_each_to_the_next(starts[order], thread, last)
    return HostSteps(steps.found, cut, kind[order])


def _engine_first(steps: HostSteps) -> HostSteps:
    """Return the steps numbered anew: those that work for requests from 0, then the others."""
    empty = steps.kind == StepKind.EMPTY.code
    number = np.empty(empty.size, np.int64)
    number[np.argsort(empty, kind="stable")] = np.arange(empty.size)
    return steps._replace(ranges=steps.ranges.replace(step=number))


def _spans(trace: Trace, process: int, names: SpanNames) -> Ranges:
    """Return the spans of a process, and whatever else states its step."""
    ranges = trace.ranges
    of_process = trace.threads_of(process)[ranges.thread]
    return ranges.take((names.spans(ranges) | (ranges.step >= 0)) & of_process)


def _by_spans(trace: Trace, ranges: Ranges, names: SpanNames) -> HostSteps:
    """Return a range per step, each from one outermost span of a step's first phase to the next."""
    for marker in names.step_markers:
        spans = ranges.take(names.named(marker)[ranges.name])
        if len(spans):
            break
    else:
        return _NONE
    thread = most_common_thread(trace, spans.thread)
    starts = _outermost_starts(spans.take(spans.thread == thread))
    starts = _outside_work(starts, ranges.take(ranges.thread == thread), names)
    leading = _leading_to_work(starts, ranges, names)
    last = _end_of_work(trace, ranges, names, thread)
    found = f"{names.engine} {'frames' if names.by_frames else 'spans'}"
    if marker != SCHEDULE or names.step_begins_late:
        starts = leading
    idle_starts = _in_vain(starts, leading)
    both = np.sort(np.concatenate((leading, idle_starts)))
    steps = HostSteps.of_unknown_kind(found, _from_each_to_the_next(both, thread, last))
    empty = np.isin(both, idle_starts)
    return steps._replace(kind=np.where(empty, StepKind.EMPTY.code, steps.kind))


def _outermost_starts(spans: Ranges) -> Int64:
    """Return the starts of the spans of one thread that lie within no other of them, in order."""
    spans = spans.take(np.lexsort((-spans.end, spans.start)))
    reach = np.maximum.accumulate(spans.end)
    outermost = np.ones(len(spans), np.bool_)
    outermost[1:] = spans.start[1:] >= reach[:-1]
    return spans.start[outermost]


def _leading_to_work(starts: Int64, ranges: Ranges, names: SpanNames) -> Int64:
    """Return the starts that begin a step: those before the next of which work is put in hand.

    A schedule that finds nothing to do begins no step.
    """
    work_starts = np.sort(_work(ranges, names).start)
    bounds = np.searchsorted(work_starts, np.append(starts, AFTER_EVERYTHING))
    leading = starts[bounds[1:] > bounds[:-1]]
    return leading if leading.size else starts


def _in_vain(starts: Int64, leading: Int64) -> Int64:
    """Return the starts of schedules that found nothing to do, several times in a row.

    Some engines schedule twice for a step. What comes after the last of `leading`, which begin
    steps, may have its work after the end of the recording.
    """
    others = starts[~np.isin(starts, leading)]
    next_step = np.searchsorted(leading, others)
    in_a_row = np.bincount(next_step, minlength=leading.size + 1)
    in_a_row[-1] = 0
    return others[in_a_row[next_step] >= ENOUGH]


def _outside_work(starts: Int64, ranges: Ranges, names: SpanNames) -> Int64:
    """Return the starts that do not lie within work of their thread: that step has begun before.

    LMDeploy schedules once before it makes a step's inputs, and once more while it does.
    """
    work = _work(ranges, names)
    busy = intervals.union(work.start + 1, work.end)
    outside = starts[~intervals.covers(busy, starts)]
    return outside if outside.size else starts


def _work(ranges: Ranges, names: SpanNames) -> Ranges:
    """Return the spans of what a step has, and an iteration that finds nothing to do has not."""
    working = np.zeros(len(names.phase), np.bool_)
    for phase in WORKING:
        working |= names.named(phase)
    return ranges.take(working[ranges.name])


def _end_of_work(trace: Trace, ranges: Ranges, names: SpanNames, thread: int) -> int:
    """Return when the last phase or launch of a thread ended: there the last step ends."""
    phases = (names.phase[ranges.name] >= 0) & (ranges.thread == thread)
    last_phase = int(ranges.end[phases].max())
    return max(last_phase, int(_launches(trace, thread).end.max(initial=0)))


def _begins_late(view: DeviceView, spans: Ranges) -> bool:
    """Return whether the spans that begin steps come when the host has worked on them already.

    Those of vLLM follow scheduling; those of SGLang, where it has no others, are forward passes; an
    engine's hooks tell a watch of a step when the batch is there.
    """
    names = view.names
    codes = distinct(names.phase[spans.name])
    phases = {names.labels[code] for code in codes[codes >= 0]}
    return view.steps_begin_late or not phases & set(STEP_MARKERS)


def _from_wait_to_wait(view: DeviceView, steps: Ranges) -> Ranges:
    """Return the ranges of steps, each begun when the last wait before it ended.

    What the host does between its wait for the tokens of a step and the next span of a step is for
    the latter.
    """
    if len(steps) < 2:
        return steps
    calls, thread = view.trace.calls, int(steps.thread[0])
    launches = forward_launches(view, thread)
    waits = calls.take(view.waits & (calls.thread == thread))
    waits = waits.take(~_within_a_step(view, thread, waits, launches))
    begun = last_before(steps.start, launches, waits)
    starts = np.append(steps.start[:1], begun[1:])
    return steps.replace(start=starts, end=np.append(starts[1:], steps.end[-1]))


def _within_a_step(view: DeviceView, thread: int, waits: Calls, launches: Int64) -> Bool:
    """Return behind which waits more of a step is launched in the span of it that they are in.

    A wait in a phase of its own, such as that which takes in the tokens, is for the whole step.
    """
    names, ranges = view.names, view.trace.ranges
    of_phase = (names.phase >= 0)[ranges.name]
    spans = ranges.take(of_phase & names.spans(ranges) & (ranges.thread == thread))
    working = (names.named(STEP) | names.named(FORWARD))[spans.name]
    span = intervals.innermost_at(spans.start, spans.end, waits.start)
    following = np.searchsorted(launches, waits.end)
    within = (span >= 0) & (following < launches.size)
    within[within] = working[span[within]]
    inside = launches[following[within]] < spans.end[span[within]]
    within[within] = inside
    return within


def _by_profiler(trace: Trace, ranges: Ranges) -> HostSteps:
    """Return the spans that torch.profiler writes around each of its steps."""
    # The number of the step that each name is of: a million steps are a million names.
    numbers = (_profiler_step(name) for name in trace.names)
    step_of_name = np.fromiter(numbers, np.int64, len(trace.names))
    spans = ranges.take(step_of_name[ranges.name] >= 0)
    if not len(spans):
        return _by_annotations(ranges)
    spans = spans.take(np.argsort(spans.start, kind="stable"))
    numbered = spans.replace(step=_once_each(step_of_name[spans.name], spans))
    return HostSteps.of_unknown_kind(PROFILER_STEPS, numbered)


def _profiler_step(name: str) -> int:
    """Return which step a name is of, MOST_STEPS + 1 for any beyond, -1 where it is none."""
    if not name.startswith("ProfilerStep#"):  # most are not: asking a pattern takes longer
        return -1
    match = PROFILER_STEP.match(name)
    if match is None:
        return -1
    digits = match[1].lstrip("0")  # of any length: int() refuses thousands of them
    return min(int(digits or "0"), MOST_STEPS + 1) if len(digits) < 20 else MOST_STEPS + 1


def _by_annotations(ranges: Ranges) -> HostSteps:
    """Return the spans that state their step, as jax.profiler.StepTraceAnnotation does."""
    spans = ranges.take(ranges.step >= 0)
    if not len(spans):
        return _NONE
    spans = spans.take(np.argsort(spans.start, kind="stable"))
    numbered = spans.replace(step=_once_each(spans.step.astype(np.int64), spans))
    return HostSteps.of_unknown_kind(STEP_ANNOTATIONS, numbered)


def _once_each(stated: Int64, spans: Ranges) -> Int64:
    """Return the numbers of steps, given those that spans state, sorted by start.

    A profiler that is started again counts from 0 again: its steps are further ones and go on from
    the highest number so far. Two spans that overlap and state one number are the same step.
    """
    if stated.max() > MOST_STEPS:
        return np.arange(stated.size)
    if distinct(stated).size == stated.size:
        return stated
    numbers: list[int] = []
    ends: dict[int, int] = {}  # number -> where its span ends
    offset, next_number = 0, 0
    for number, start, end in zip(
        stated.tolist(), spans.start.tolist(), spans.end.tolist(), strict=True
    ):
        counted = number + offset
        if counted in ends and start >= ends[counted]:
            offset = next_number - number
            counted = next_number
        ends[counted] = max(end, ends.get(counted, end))
        next_number = max(next_number, counted + 1)
        numbers.append(counted)
    return np.array(numbers, np.int64)


def _by_calls(view: DeviceView) -> HostSteps:
    """Return a range per step, cut where waits between launches end, or at launches of graphs."""
    trace, thread = view.trace, view.launching_thread
    if thread < 0:
        return _NONE
    calls = trace.calls.take(trace.calls.thread == thread)
    calls = calls.take(np.argsort(calls.start, kind="stable"))
    graphs = calls.take(matching(GRAPH_LAUNCH, trace.names)[calls.name])
    by_graphs = len(graphs) >= ENOUGH
    launched = graphs.start if by_graphs else forward_launches(view, thread)
    if by_graphs:
        # A prefill may be launched kernel by kernel where decode is a graph.
        launched = np.sort(np.concatenate((launched, eager_forwards(view, thread).start)))

    cuts = _cuts_at_waits(view, thread, launched)
    if cuts.size + 1 < ENOUGH:
        if not by_graphs:
            return _NONE
        # Launches with no wait between them are of one step, unless there are no waits at all.
        cuts = between_bursts(graphs)
    starts = np.concatenate(([calls.start[0]], cuts))
    found = GRAPH_LAUNCHES if by_graphs else WAITING_CALLS
    last = int(calls.end.max())
    ranges = _from_each_to_the_next(starts, thread, last)
    return HostSteps.of_unknown_kind(found, ranges)


def _cuts_at_waits(view: DeviceView, thread: int, launched: Int64) -> Int64:
    """Return where waits between some launches of a thread, ascending, end steps.

    Waits of other threads count where it has too few of its own: it may wait for these threads.
    """
    calls = view.trace.calls
    for waits in (view.waits & (calls.thread == thread), view.waits):
        rows = np.flatnonzero(waits)
        ending = calls.take(rows[between_launches(launched, calls.take(rows))])
        if len(ending) + 1 >= ENOUGH:
            places = places_of(view.trace, ending)
            # Prefills beside graphs, by turns, are steps of their own.
            alike = not eager_forwards(view, thread).start.size
            if alike and distinct(places).size == 1:
                launches = np.sort(_launches(view.trace, thread).start)
                places = places_by_launches(launches, ending)
            cuts = ending.end[for_tokens(ending, places, launched)]
            return with_unwaited(cuts, launched)
    return ending.end


def _launches(trace: Trace, thread: int) -> Calls:
    """Return the calls in which a thread launched anything, copies too."""
    calls = trace.calls
    return calls.take(matching(LAUNCH, trace.names)[calls.name] & (calls.thread == thread))


def _kinds_by_launch(view: DeviceView, steps: HostSteps) -> Int64:
    """Return the kinds of steps: as stated, else by how they were launched.

    What a server launches kernel by kernel, beside steps that are graphs, are prefills.
    """
    empty = steps.kind == StepKind.EMPTY.code
    stated = (steps.kind != StepKind.UNKNOWN.code) & ~empty
    if stated.any() or empty.all() or view.launching_thread < 0:
        return steps.kind
    eager = eager_forwards(view, view.launching_thread).start
    if not eager.size:
        return steps.kind
    row = np.searchsorted(steps.ranges.start, eager, "right") - 1
    is_eager = Groups(row[row >= 0], len(steps.ranges)).occupied()
    kind = np.where(is_eager, StepKind.PREFILL.code, StepKind.DECODE.code)
    return np.where(empty, StepKind.EMPTY.code, kind).astype(np.int64)


def _from_each_to_the_next(starts: Int64, thread: int, last: int) -> Ranges:
    """Return a range per step, numbered from 0: to the next one's start, the last to `last`."""
    steps = starts.size
    last = max(last, int(starts[-1]))
    return Ranges.of(
        start=starts,
        end=np.append(starts[1:], last),
        thread=np.full(steps, thread),
        name=np.zeros(steps),
        kind=np.full(steps, RangeKind.ANNOTATION),
        step=np.arange(steps),
    )


def _step_of_launch(view: DeviceView, host: Ranges) -> Int64:
    """Return for each operation the step in whose host range it was launched; -1 for none."""
    step = np.full(view.launches.size, -1, np.int64)
    if not len(host):
        return step
    linked: Bool = view.launches >= 0
    launched = view.trace.calls.start[view.launches[linked]]
    host = _of_launching_thread(view, host)
    row = np.searchsorted(host.start, launched, "right") - 1
    inside = (row >= 0) & (launched < host.end[row])
    step[linked] = np.where(inside, host.step[row], -1)
    return step


def _of_launching_thread(view: DeviceView, host: Ranges) -> Ranges:
    """Return the ranges of steps as the launching thread has them, where that is another.

    It may launch a step when the scheduling thread is at the next one already. Its spans stand for
    the steps in their order where there are as many of them.
    """
    thread = view.launching_thread
    if thread < 0 or (host.thread == thread).any():
        return host
    working = view.names.named(STEP) | view.names.named(FORWARD)
    spans = _spans(view.trace, view.process, view.names)
    starts = _outermost_starts(spans.take((spans.thread == thread) & working[spans.name]))
    if starts.size != len(host):
        return host
    ends = np.append(starts[1:], max(int(host.end[-1]), int(starts[-1]) + 1))
    return host.replace(start=starts, end=ends)
