"""Rows that a reader makes one event at a time, until they are the tables of a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from idlescope.trace.gathered import Gathered
from idlescope.trace.model import Calls, OperationKind, Operations, RangeKind, Ranges

MOST_STEP = 2**31 - 1
DETAIL = (RangeKind.OPERATOR, RangeKind.FRAME)  # what is left out without `frames`
_INT64 = range(-(2**63), 2**63)


class Span(NamedTuple):
    """What every record has; times in ns, brought within int64."""

    name: str
    start: int
    end: int


@dataclass
class EventRows:
    """The rows of one file; `finish` hands them to `gathered`."""

    gathered: Gathered
    frames: bool = True
    _operations: list[tuple[Any, ...]] = field(default_factory=list)
    _calls: list[tuple[Any, ...]] = field(default_factory=list)
    _ranges: list[tuple[Any, ...]] = field(default_factory=list)

    def operation(
        self,
        span: Span,
        kind: OperationKind,
        device: tuple[str, int],
        stream: str,
        correlation: int = 0,
        size: int = 0,
    ) -> None:
        """Add what ran on a device: its process and number, its stream, the bytes of a copy."""
        gathered = self.gathered
        row = (
            within_int64(span.start),
            within_int64(span.end),
            kind,
            gathered.devices.code(device),
            gathered.streams.code(stream),
            gathered.names.code(span.name),
            within_int64(correlation),
            max(0, within_int64(size)),
        )
        self._operations.append(row)

    def call(self, span: Span, thread: tuple[str, str], correlation: int = 0) -> None:
        """Add a call of a thread, as process and thread are called."""
        row = (
            within_int64(span.start),
            within_int64(span.end),
            self.gathered.threads.code(thread),
            self.gathered.names.code(span.name),
            within_int64(correlation),
        )
        self._calls.append(row)

    def range(
        self, span: Span, thread: tuple[str, str], kind: RangeKind, step: int = -1
    ) -> None:
        """Add a range of a thread; the step that it states, or -1."""
        if kind in DETAIL and not self.frames:
            return
        row = (
            within_int64(span.start),
            within_int64(span.end),
            self.gathered.threads.code(thread),
            self.gathered.names.code(span.name),
            kind,
            step if 0 <= step <= MOST_STEP else -1,
        )
        self._ranges.append(row)

    def finish(self, place: str) -> None:
        """Hand the tables over; `place` is what warnings call the place of an event."""
        start, end, kind, device, stream, name, correlation, size = _columns(
            self._operations, 8
        )
        count = len(start)
        operations = Operations.of(
            start=start,
            end=end,
            kind=kind,
            device=device,
            stream=stream,
            name=name,
            correlation=correlation,
            step=np.full(count, -1),
            bytes=size,
            flops=np.zeros(count),
        )
        start, end, thread, name, correlation = _columns(self._calls, 5)
        calls = Calls.of(
            start=start, end=end, thread=thread, name=name, correlation=correlation
        )
        start, end, thread, name, kind, step = _columns(self._ranges, 6)
        ranges = Ranges.of(
            start=start, end=end, thread=thread, name=name, kind=kind, step=step
        )
        self.gathered.add(operations, f"device {place}")
        self.gathered.add(calls, f"call {place}")
        self.gathered.add(ranges, f"host {place}")


def within_int64(value: int) -> int:
    """Return the nearest integer that a column can hold."""
    return value if value in _INT64 else (2**63 - 1 if value > 0 else -(2**63))


def integer(value: Any, otherwise: int = 0) -> int:
    """Return an argument as an integer, which some tools write as text."""
    if type(value) is int and value in _INT64:
        return value
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return otherwise
    return number if number in _INT64 else otherwise


def _columns(rows: list[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [[row[number] for row in rows] for number in range(count)]
