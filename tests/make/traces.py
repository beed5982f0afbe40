"""Make Traces of known or of any content, of several processes, with slices that overlap and ids that collide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from idlescope.trace.metadata import Metadata
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

NAMES = (
    "k",
    "aten::mm",
    'a "quoted" \\ name',
    "<b>&amp;</b>",
    "naïve ∑ 行",
    "line\nbreak",
    "ProfilerStep#3",
)


def table(kind, rows):
    """A table of rows given as tuples in the order of its columns."""
    columns = zip(*rows, strict=True) if rows else [()] * len(kind.DTYPES)
    return kind.of(
        **{name: list(values) for name, values in zip(kind.DTYPES, columns, strict=True)}
    )


def trace(
    operations=(), calls=(), ranges=(), counters=(), processes=("100", "200"), meta=None
):
    """A Trace with a device, and two threads, of each process; streams "7", "8" and "compute"."""
    return Trace(
        operations=table(Operations, list(operations)),
        calls=table(Calls, list(calls)),
        ranges=table(Ranges, list(ranges)),
        counters=table(Counters, list(counters)),
        names=NAMES,
        devices=tuple(
            Device(p, 0, f"GPU of {name}", name) for p, name in enumerate(processes)
        ),
        streams=("7", "8", "compute"),
        threads=tuple(
            Thread(p, f"thread {i} of {name}")
            for p, name in enumerate(processes)
            for i in range(2)
        ),
        meta=Metadata.from_json(meta or {}),
    )


SPAN = st.tuples(st.integers(-3000, 9000), st.integers(0, 3000))


@st.composite
def any_trace(draw):
    """Any small Trace; equal records are left out, as some tools write each twice and readers count them once."""
    processes = draw(st.sampled_from([("100",), ("100", "200"), ("rank 0", "rank 1")]))
    shift = draw(st.sampled_from([0, 5000, 1_790_857_026_000_000_000]))
    name, step = st.integers(0, len(NAMES)), st.integers(-1, 3)
    counters = st.tuples(st.integers(-99, 99), name, st.floats())
    correlation, thread = st.integers(0, 6), st.integers(0, 2 * len(processes) - 1)

    def spans(*others):
        rows = draw(st.lists(st.tuples(SPAN, *others), max_size=12, unique=True))
        return [
            (shift + start, shift + start + length, *rest)
            for (start, length), *rest in rows
        ]

    operations = spans(
        st.sampled_from(list(OperationKind)),
        st.integers(0, len(processes) - 1),
        st.integers(0, 2),
        name,
        correlation,
    )
    key = [0, 1, 3, 4, 5, 6]
    operations = list(
        {tuple(row[i] for i in key): (*row, -1, 64, 1.5) for row in operations}.values()
    )
    made = trace(
        operations,
        spans(thread, name, correlation),
        spans(thread, name, st.sampled_from(list(RangeKind)), step),
        [(shift + t, n, v) for t, n, v in draw(st.lists(counters, max_size=4))],
        processes,
    )  # fmt: skip
    return replace(
        made, names=(*NAMES, "first token")
    )  # which is written otherwise than other counters


def records(trace, process_of):
    """Every record of a Trace with its codes resolved, in no order; `process_of` names a device's process."""

    def column(table, name, resolve):
        values = getattr(table, name).tolist()
        return [resolve[name](v) for v in values] if name in resolve else values

    def rows(table, **resolve):
        return sorted(
            zip(*(column(table, name, resolve) for name in table.DTYPES), strict=True),
            key=repr,
        )

    name = trace.names.__getitem__
    device = {i: (d.index, process_of(d)) for i, d in enumerate(trace.devices)}
    thread = {i: t.label for i, t in enumerate(trace.threads)}
    return {
        "operations": rows(
            trace.operations, name=name, device=device.get, stream=trace.streams.__getitem__
        ),
        "calls": rows(trace.calls, name=name, thread=thread.get),
        "ranges": rows(trace.ranges, name=name, thread=thread.get),
        "counters": rows(trace.counters.take(np.isfinite(trace.counters.value)), name=name),
    }


def numbers(analysis):
    """Every figure of an analysis and the kind of each verdict, whatever processes, devices and ranges are called."""
    document = analysis.to_json()
    kinds = [device["verdict"]["kind"] for device in document["devices"]]
    return sorted(kinds), sorted(
        repr(_nameless(document[part])) for part in ("devices", "steps")
    )


def _nameless(value):
    if isinstance(value, dict):
        named = value.get("host_ns")
        plain = {k: _nameless(v) for k, v in value.items()}
        return plain | (
            {"host_ns": sorted(named.values())} if isinstance(named, dict) else {}
        )
    if isinstance(value, list):
        return sorted((_nameless(v) for v in value), key=repr)
    return "" if isinstance(value, str) else value
