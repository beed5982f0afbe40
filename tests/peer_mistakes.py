"""Traces of known idle time on which other tools err, for tests/analysis/test_peer_mistakes.py and the accuracy table.

What is idle, and in what window, is known by construction: a sum of the gaps that were put in,
never a measurement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.make import kineto_files

BASE = 4_586_265_851_980_149  # ns: where a real file's times lie, and no whole microsecond
LEAD = 5_000  # ns from a launch call to its operation
FIRST = 400_000  # correlation ids of a long-lived process
PID = 50 << 24  # an nsys globalPid
SCHEMA = """
CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, contextId INTEGER,
    streamId INTEGER, correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, shortName INTEGER);
CREATE TABLE CUPTI_ACTIVITY_KIND_GRAPH_TRACE (start INTEGER, end INTEGER, deviceId INTEGER, contextId INTEGER,
    streamId INTEGER, correlationId INTEGER, globalPid INTEGER, graphId INTEGER, graphExecId INTEGER);
CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER, end INTEGER, eventClass INTEGER, globalTid INTEGER,
    correlationId INTEGER, nameId INTEGER, returnValue INTEGER);
CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT);
CREATE TABLE META_DATA_EXPORT (name TEXT, value TEXT);
INSERT INTO StringIds VALUES (1, 'sample'), (2, 'cudaLaunchKernel_v7000'), (3, 'cudaGraphLaunch_v10000');
INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_SCHEMA_VERSION', '3.7.2');
"""


class Op(NamedTuple):
    """One operation; times from the trace's beginning."""

    start: int
    end: int
    kind: str = "kernel"
    stream: int = 7
    correlation: int = 0  # shared with the launch call


@dataclass(frozen=True)
class Case:
    """A trace and the truth about it."""

    title: str
    operations: list[Op]
    idle_ns: int
    launches: dict[int, int]  # correlation id: when it was launched
    graph: bool = False  # launches are of graphs

    @property
    def window_ns(self) -> int:
        return max(o.end for o in self.operations) - min(o.start for o in self.operations)

    @property
    def idle_pct(self) -> float:
        return 100 * self.idle_ns / self.window_ns

    def events(self) -> list[dict[str, Any]]:
        """Return it as torch.profiler records it."""
        name = "cudaGraphLaunch" if self.graph else "cudaLaunchKernel"
        calls = [
            kineto_files.call(BASE + at, BASE + at + 2_000, c, name)
            for c, at in self.launches.items()
        ]
        return calls + [
            kineto_files.operation(
                BASE + o.start, BASE + o.end, o.kind, o.correlation, stream=o.stream
            )
            for o in self.operations
        ]

    def write(self, folder: Path) -> Path:
        """Write it to a folder: a database of nsys where it holds graph records, else a Kineto file."""
        if any(o.kind == "graph" for o in self.operations):
            return write_nsys(folder / "case.sqlite", self)
        return kineto_files.write(folder / "case.json", self.events())


def launched(operations: Iterable[tuple[Any, ...]]) -> tuple[list[Op], dict[int, int]]:
    """Return operations (start, end, kind, stream) with a launch call each, and when each was launched."""
    ops = [Op(*o)._replace(correlation=FIRST + i) for i, o in enumerate(operations)]
    return ops, {o.correlation: o.start - LEAD for o in ops}


def row(count: int, busy: int, gap: int, start: int = 0) -> list[tuple[int, int]]:
    """Return spans one after another, a gap between any two."""
    return [
        (start + i * (busy + gap), start + i * (busy + gap) + busy) for i in range(count)
    ]


def short_gaps() -> Case:
    """A decode step: long kernels, hardly a gap."""
    ops, launches = launched(row(421, 24_439, 61))
    return Case("421 kernels, gaps of 61 ns", ops, 420 * 61, launches)


def short_kernels() -> Case:
    """Kernels that lie within one microsecond."""
    ops, launches = launched(row(500, 700, 300))
    return Case("kernels of 0.7 µs", ops, 499 * 300, launches)


def graph_launches() -> Case:
    """Five graph launches of 400 kernels; the host is late by 1.8 ms each time."""
    ops, launches, idle, start = [], {}, 0, 0
    for step in range(5):
        spans = row(400, 12_310, 417, start)
        ops += [Op(*span, correlation=FIRST + step) for span in spans]
        launches[FIRST + step] = start - LEAD
        start = spans[-1][1] + 1_800_000
        idle += 399 * 417 + (1_800_000 if step < 4 else 0)
    return Case("5 graph launches, 2,000 kernels", ops, idle, launches, graph=True)


def unlinked() -> Case:
    """Every other kernel has no launch call."""
    ops, launches = launched(row(200, 50_000, 1_000))
    return Case(
        "every other launch not recorded",
        ops,
        199 * 1_000,
        {c: t for c, t in launches.items() if c % 2 == 0},
    )


def overlapping_streams() -> Case:
    """Three streams that together run more than all the time."""
    spans = ((0, 100_000, 7), (50_000, 180_000, 9), (20_000, 120_000, 11))
    periods = range(0, 50 * 200_000, 200_000)
    ops, launches = launched(
        (t + a, t + b, "kernel", stream) for t in periods for a, b, stream in spans
    )
    return Case("three streams that overlap", ops, 49 * 20_000, launches)


def copy_first() -> Case:
    """The window begins with a copy, and idle between it and the first kernel."""
    kernels = [(*span, "kernel", 7) for span in row(20, 50_000, 5_000, 1_000_000)]
    ops, launches = launched([(0, 300_000, "memcpy", 7), *kernels])
    return Case("a copy first, then the kernels", ops, 700_000 + 19 * 5_000, launches)


def copy_beside_compute() -> Case:
    """Copies on another stream reach into the gaps between the kernels."""
    spans = ((0, 80_000, "kernel", 7), (70_000, 95_000, "memcpy", 13))
    periods = range(0, 100 * 100_000, 100_000)
    ops, launches = launched(
        (t + a, t + b, *rest) for t in periods for a, b, *rest in spans
    )
    return Case("copies beside compute", ops, 99 * 5_000, launches)


def decode_bubbles() -> Case:
    """Thirty decode steps, a bubble of 0.9 ms between any two."""
    spans = [span for step in range(30) for span in row(10, 200_000, 0, step * 2_900_000)]
    ops, launches = launched((*span, "kernel", 7) for span in spans)
    return Case("30 bubbles of 0.9 ms", ops, 29 * 900_000, launches)


def graph_records() -> Case:
    """What nsys records by default of graphs: a row a launch, its kernels not; one kernel outside, to sample."""
    ops = []
    for step in range(20):
        t = step * 10_000_000
        ops += [
            Op(t, t + 9_000_000, "graph", 7, FIRST + 2 * step),
            Op(t + 9_010_000, t + 9_030_000, "kernel", 7, FIRST + 2 * step + 1),
        ]
    launches = {o.correlation: o.start - LEAD for o in ops}
    return Case("graph-level records of nsys", ops, 20 * 10_000 + 19 * 970_000, launches)


CASES: tuple[Callable[[], Case], ...] = (
    short_gaps, short_kernels, graph_launches, unlinked, overlapping_streams, copy_first, copy_beside_compute,
    decode_bubbles, graph_records,
)  # fmt: skip


def write_nsys(path: Path, case: Case) -> Path:
    """Write a case as nsys exports it: graph-level records, kernels and runtime calls."""
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    kinds = {o.correlation: o.kind for o in case.operations}
    for o in case.operations:
        table = "GRAPH_TRACE" if o.kind == "graph" else "KERNEL"
        values = (o.start, o.end, 0, 1, o.stream, o.correlation, PID, 1, 1)
        statement = f"INSERT INTO CUPTI_ACTIVITY_KIND_{table} VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608
        database.execute(statement, values)
    database.executemany(
        "INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (?,?,0,?,?,?,0)",
        [
            (t, t + 2_000, PID | 51, c, 3 if kinds[c] == "graph" else 2)
            for c, t in case.launches.items()
        ],
    )
    database.commit()
    database.close()
    return path
