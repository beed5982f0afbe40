"""The analysis of random traces equals a slow program written straight from the definitions in README.md."""

from __future__ import annotations

import statistics

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from idlescope.analysis.analyze import analyze
from idlescope.analysis.idle.host_labels import NO_DEMAND, UNTRACED, is_untraced
from idlescope.analysis.idle.host_time import COLLECTION, PROFILER
from idlescope.analysis.steps.measure import Steps
from idlescope.trace.model import (
    Calls,
    Counters,
    Device,
    OperationKind,
    Operations,
    RangeKind,
    Ranges,
    Thread,
    Trace,
)
from tests.make.deep import of

NAMES = (
    "kernel",
    "cudaLaunchKernel",
    "cudaStreamSynchronize",
    "prepare",
    "cb:update_batch",
    "aten::add",
    "frame",
)
PHASES = {4: "postprocess (cb:update_batch)"}
END = 80

times = st.tuples(st.integers(0, END), st.integers(0, 15)).map(
    lambda p: (p[0], p[0] + p[1])
)
operations = st.lists(st.tuples(times, st.integers(0, 3), st.integers(0, 1), st.integers(0, 2), st.integers(0, 6)),
                      min_size=1, max_size=10)  # fmt: skip
calls = st.lists(
    st.tuples(times, st.integers(0, 2), st.sampled_from([1, 2]), st.integers(0, 6)),
    max_size=10,
)
ranges = st.lists(
    st.tuples(
        times, st.integers(0, 2), st.integers(3, 6), st.sampled_from(list(RangeKind))
    ),
    max_size=10,
)


@st.composite
def traces(draw):
    ops, made, held = draw(operations), draw(calls), draw(ranges)
    step = [draw(st.integers(-1, 3)) for _ in ops]
    return Trace(
        operations=Operations.of(
            start=[o[0][0] for o in ops], end=[o[0][1] for o in ops], kind=[o[1] for o in ops],
            device=[o[2] for o in ops], stream=[o[3] for o in ops], name=[0] * len(ops),
            correlation=[o[4] for o in ops], step=step, bytes=[0] * len(ops), flops=[0.0] * len(ops),
        ),
        calls=Calls.of(
            start=[c[0][0] for c in made], end=[c[0][1] for c in made], thread=[c[1] for c in made],
            name=[c[2] for c in made], correlation=[c[3] for c in made],
        ),
        ranges=Ranges.of(
            start=[r[0][0] for r in held], end=[r[0][1] for r in held], thread=[r[1] for r in held],
            name=[r[2] for r in held], kind=[r[3] for r in held], step=[i % 4 - 1 for i in range(len(held))],
        ),
        counters=Counters.empty(),
        names=NAMES,
        devices=(Device(0, 0), Device(1, 1)),
        streams=("a", "b", "c"),
        threads=(Thread(0, "x"), Thread(0, "y"), Thread(1, "z")),
    )  # fmt: skip


def rows(table):
    return [
        dict(zip(table.DTYPES, values, strict=True))
        for values in zip(*(getattr(table, n).tolist() for n in table.DTYPES), strict=True)
    ]


def reference(trace: Trace, device: int):
    ops = [o for o in rows(trace.operations) if o["device"] == device]
    made = rows(trace.calls)
    low, high = min(o["start"] for o in ops), max(o["end"] for o in ops)
    running = [[o for o in ops if o["start"] <= t < o["end"]] for t in range(low, high)]
    computing = (OperationKind.KERNEL, OperationKind.GRAPH)
    result = {
        "window_ns": high - low,
        "active_ns": sum(bool(r) for r in running),
        "compute_ns": sum(any(o["kind"] in computing for o in r) for r in running),
    }
    gaps, t = [], low
    while t < high:
        if running[t - low]:
            t += 1
            continue
        end = next((u for u in range(t, high) if running[u - low]), high)
        gaps.append((t, end))
        t = end
    cause = dict.fromkeys(("host", "launch", "queued", "unattributed"), 0)
    host_of_gap: list[dict[str, int]] = []
    for g0, g1 in gaps:
        host: dict[str, int] = {}
        host_of_gap.append(host)
        launches = [
            c
            for o in ops
            if o["start"] == g1 < o["end"] and o["correlation"]
            for c in made
            if c["correlation"] == o["correlation"]
            and trace.threads[c["thread"]].process == trace.devices[device].process
        ]
        if not launches:
            cause["unattributed"] += g1 - g0
            continue
        first = min(launches, key=lambda c: (c["start"], c["end"]))
        share = max(0, min(first["start"], g1) - g0)
        cause["host"] += share
        cause["launch" if first["end"] > g0 else "queued"] += g1 - g0 - share
        same = {
            c["thread"]
            for c in launches
            if (c["start"], c["end"]) == (first["start"], first["end"])
        }
        if len(same) == 1:
            for u in range(g0, g0 + share):
                label = doing(trace, first["thread"], u)
                host[label] = host.get(label, 0) + 1
        else:
            host["any"] = host.get("any", 0) + share
    return result, gaps, cause, host_of_gap


def with_pauses(is_known: bool, steps: Steps, gaps, host_of_gap) -> dict[str, int]:
    """The host's time of all gaps; a known engine that does nothing in a pause has no request."""
    lasted = sorted(
        int(device) + int(idle)
        for device, idle in zip(steps.device, steps.idle, strict=True)
        if device + idle
    )
    known = len(lasted) >= 3 and is_known
    total: dict[str, int] = {}
    for (g0, g1), host in zip(gaps, host_of_gap, strict=True):
        share = sum(host.values())
        most = [label for label, ns in host.items() if ns == max(host.values())]
        is_pause = known and g1 - g0 >= 2 * statistics.median(lasted)
        nothing = [label for label in most if is_untraced(label)]
        if is_pause and 2 * share > g1 - g0 and nothing:
            # of two labels that hold as much either may be called the most
            counted = {NO_DEMAND if nothing == most else "any": share}
        else:
            counted = host
        for label, ns in counted.items():
            total[label] = total.get(label, 0) + ns
    return total


def told(trace: Trace) -> bool:
    """Whether an annotation has the one name by which a known engine is told."""
    return any(
        r["name"] == 4 and r["kind"] == RangeKind.ANNOTATION for r in rows(trace.ranges)
    )


def says_itself(trace: Trace, process: int) -> bool:
    """Whether a process says when there was no request: then nothing else is taken for it."""
    return any(
        r["kind"] == RangeKind.NO_DEMAND and trace.threads[r["thread"]].process == process
        for r in rows(trace.ranges)
    )


def phase_kinds(trace: Trace) -> tuple[RangeKind, ...]:
    """A frame of a phase's name is a phase, too, where an annotation told the engine."""
    if told(trace):
        return (RangeKind.ANNOTATION, RangeKind.FRAME)
    return (RangeKind.ANNOTATION,)


def doing(trace: Trace, thread: int, t: int) -> str:  # noqa: PLR0911
    now = [r for r in rows(trace.ranges) if r["start"] <= t < r["end"]]
    blocked = [
        c
        for c in rows(trace.calls)
        if c["thread"] == thread and c["start"] <= t < c["end"] and c["name"] == 2
    ]
    mine = [r for r in now if r["thread"] == thread]
    process = trace.threads[thread].process
    calling = {trace.threads[c["thread"]].process for c in rows(trace.calls)}
    owners = {
        trace.threads[r["thread"]].process for r in now if r["kind"] == RangeKind.OVERHEAD
    }
    if any(p == process or p not in calling for p in owners):
        return PROFILER
    if blocked:
        return "call: cudaStreamSynchronize"
    if any(r["kind"] == RangeKind.GARBAGE_COLLECTION for r in mine):
        return COLLECTION

    def innermost(candidates):
        return min(candidates, key=lambda r: (-r["start"], r["end"]))

    # one common word such as "prepare" makes no engine, so only those of wrapped transformers count
    known = {4}
    phases = [r for r in mine if r["kind"] == RangeKind.ANNOTATION and r["name"] in known]
    if told(
        trace
    ):  # a frame of a phase's name is one, too, where an annotation told the engine
        phases += [r for r in mine if r["kind"] == RangeKind.FRAME and r["name"] in known]
    others = [r for r in mine if r["kind"] <= RangeKind.FRAME and r not in phases]
    if phases:
        phase = innermost(phases)
        within = innermost(phases + others)
        if within["name"] == phase["name"]:
            return PHASES[phase["name"]]
        return f"{PHASES[phase['name']].split(' ')[0]} › {NAMES[within['name']]}"
    if others:
        return "range: " + NAMES[innermost(others)["name"]]
    if any(r["kind"] == RangeKind.NO_DEMAND for r in mine):
        return NO_DEMAND
    return between(trace, thread, t, known) or UNTRACED


def between(trace: Trace, thread: int, t: int, known: set[int]) -> str:
    """What precedes and follows an instant in no span: the one known phase, or a wait after it."""
    spans = [
        r
        for r in rows(trace.ranges)
        if r["thread"] == thread and r["kind"] in phase_kinds(trace) and r["name"] in known
    ]
    spans = [r for r in spans if r["start"] < r["end"]]
    before = [r["end"] for r in spans if r["end"] <= t]
    if not before or not any(r["start"] > t for r in spans):
        return ""
    waited = any(
        c["thread"] == thread
        and c["name"] == 2
        and max(before) <= c["start"] < c["end"] <= t
        for c in rows(trace.calls)
    )
    phase = PHASES[min(known)].split(" ")[0]
    return f"between {'cudaStreamSynchronize' if waited else phase} and {phase}"


def ambiguous(trace: Trace) -> bool:
    """Whether two different ranges of a thread begin and end together: either may be called the inner one."""
    seen = [(r["start"], r["end"], r["thread"]) for r in rows(trace.ranges)]
    return len(seen) != len(set(seen))


@given(traces())
@settings(max_examples=of(100, deep=400))
def test_every_figure_equals_the_reference(trace):
    for got in analyze(trace).results:
        figures, gaps, cause, host_of_gap = reference(trace, got.device.index)
        document = got.to_json()
        assert {k: document[k] for k in figures} == figures
        assert document["idle_ns"] == sum(b - a for a, b in gaps)
        assert (
            list(zip(got.gaps.start.tolist(), got.gaps.end.tolist(), strict=True)) == gaps
        )
        assert document["cause_ns"] == cause
        assert sum(cause.values()) == document["idle_ns"]
        assert sum(got.host_ns.values()) == cause["host"]
        is_known = told(trace) and not says_itself(trace, got.device.process)
        host = with_pauses(is_known, got.steps, gaps, host_of_gap)
        if "any" not in host and not ambiguous(trace):
            assert got.host_ns == {k: v for k, v in host.items() if v}


@given(traces())
@settings(max_examples=of(50, deep=200))
def test_steps_equal_the_reference(trace):
    for got in analyze(trace).results:
        s = got.steps
        ops = [o for o in rows(trace.operations) if o["device"] == got.device.index]
        mine = [
            r
            for r in rows(trace.ranges)
            if trace.threads[r["thread"]].process == got.device.process
        ]
        numbers = sorted({r["step"] for r in mine if r["step"] >= 0})
        if not numbers or all(o["step"] < 0 for o in ops):
            assert s.found != "recorded"
            continue
        assert s.number.tolist() == numbers
        for i, number in enumerate(numbers):
            worked = [o for o in ops if o["step"] == number]
            assert s.device[i] == len(
                {t for o in worked for t in range(o["start"], o["end"])}
            )
            held = [r for r in mine if r["step"] == number]
            assert (s.start[i], s.end[i]) == (
                min(r["start"] for r in held),
                max(r["end"] for r in held),
            )
        # a gap that only operations of no length follow is ended by none
        ended = got.gaps.operation >= 0
        known = ended & np.isin(got.operations.step[got.gaps.operation], s.number)
        assert s.idle.sum() == got.gaps.length[known].sum()
