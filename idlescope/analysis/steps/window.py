"""The stretch of time that figures are of: from the first operation to the last, or what the user names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from idlescope.analysis.steps.find import Division
from idlescope.analysis.view import DeviceView
from idlescope.errors import ConfigError
from idlescope.trace.model import Operations
from idlescope.trace.table import Bool

FIRST_LAST = "first-last"
FORMS = "first-last, range:NAME, steps:A-B or time:A-B (as in time:1.5s-2s, time:200ms-350ms)"
LONGEST_NS = 1 << 61
_UNITS_NS = {"": 10**6, "ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9}
_TIMES = re.compile(r"^(\d+(?:\.\d+)?)(ns|us|µs|ms|s|)-(\d+(?:\.\d+)?)(ns|us|µs|ms|s|)$")
_STEPS = re.compile(r"^(\d+)-(\d+)$")


@dataclass(frozen=True)
class WindowSpec:
    """What the user asked for; made by `parse`."""

    text: str = FIRST_LAST
    name: str | None = None  # range:NAME
    steps: tuple[int, int] | None = None  # steps:A-B, both within
    time: tuple[int, int] | None = None  # time:A-B, ns from the first operation of the trace


@dataclass(frozen=True)
class Window:
    """A window on one device, and how it was chosen."""

    kind: str  # as it was asked for
    start: int  # ns
    end: int
    note: str = ""

    def touches(self, operations: Operations) -> Bool:
        """Return for each operation whether it runs within the window, in part at least."""
        o = operations
        empty = (o.end == o.start) & (o.start >= self.start) & (o.start <= self.end)
        return (o.end > self.start) & (o.start < self.end) | empty

    def to_json(self) -> dict[str, Any]:
        """Return the window as JSON values."""
        return {"kind": self.kind, "start_ns": self.start, "end_ns": self.end} | (
            {"note": self.note} if self.note else {}
        )


def parse(text: str) -> WindowSpec:
    """Return the window that a text asks for. Raises ConfigError where it is none of the forms."""
    kind, _, rest = text.partition(":")
    if text == FIRST_LAST:
        return WindowSpec()
    if kind == "range" and rest:
        return WindowSpec(text, name=rest)
    if kind == "steps" and (found := _STEPS.match(rest)):
        first, last = int(found[1]), int(found[2])
        if first <= last:
            return WindowSpec(text, steps=(first, last))
    if kind == "time" and (found := _TIMES.match(rest)):
        low, high = _ns(found[1], found[2] or found[4]), _ns(found[3], found[4] or found[2])
        if low < high < LONGEST_NS:
            return WindowSpec(text, time=(low, high))
    raise ConfigError(f"--window {text} is no window: give {FORMS}, the first not after the last")


def length_ns(text: str) -> int:
    """Return a length of time such as `10us` or `1.5ms` in ns (ms where no unit is given). Raises ConfigError."""
    found = re.match(r"^(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|)$", text)
    if not found:
        raise ConfigError(
            f"{text!r} is no length of time: give a number with ns, us, ms or s, as in 10us"
        )
    return _ns(found[1], found[2])


def _ns(number: str, unit: str) -> int:
    whole, _, fraction = number.partition(".")
    scale = _UNITS_NS[unit]
    return int(whole) * scale + (int(fraction) * scale // 10 ** len(fraction) if fraction else 0)


def resolve(spec: WindowSpec, view: DeviceView, division: Division) -> Window:
    """Return the window on one device; `division` are its steps.

    Times count from the first operation of the trace, or of the process where processes have clocks of their own.
    Raises ConfigError where there is no such range, step or time.
    """
    trace, process, operations = view.trace, view.process, view.operations
    first, last = int(operations.start.min()), int(operations.end.max())
    if spec.name is not None:
        rows = np.flatnonzero(trace.ranges.name == trace.name_index(spec.name))
        own = trace.threads_of(process)[trace.ranges.thread[rows]]
        if own.any() or trace.meta.clocks_apart:
            rows = rows[own]  # each process has its own, and maybe its own clock
        if not rows.size:
            raise ConfigError(
                f"no range of the trace is called {spec.name!r}: give --window a name as the trace has it"
            )
        start, end = int(trace.ranges.start[rows].min()), int(trace.ranges.end[rows].max())
        many = (
            f"from the first to the last of {rows.size} ranges of that name"
            if rows.size > 1
            else ""
        )
        return _checked(Window(spec.text, start, end, many), first, last)
    if spec.steps is not None:
        low, high = spec.steps
        step, number = division.step, division.host.step
        inside = np.flatnonzero((step >= low) & (step <= high) & (step >= 0))
        if not inside.size:
            known = f"{number.min()} to {number.max()}" if number.size else "none were found"
            raise ConfigError(
                f"--window {spec.text}: no operation belongs to these steps; the trace's steps: {known}"
            )
        return Window(
            spec.text, int(operations.start[inside].min()), int(operations.end[inside].max()),
            "from the first operation of these steps to the end of their last",
        )  # fmt: skip
    if spec.time is not None:
        apart, starts = trace.meta.clocks_apart, trace.operations.start
        origin = int((starts[trace.operations_of(process)] if apart else starts).min())
        note = f"from the first operation of the {'process' if apart else 'trace'}"
        return _checked(
            Window(spec.text, origin + spec.time[0], origin + spec.time[1], note), first, last
        )
    return Window(FIRST_LAST, first, last)


def _checked(window: Window, first: int, last: int) -> Window:
    if window.end <= first or window.start >= last or window.end <= window.start:
        raise ConfigError(
            f"--window {window.kind} does not touch the device's operations, which span {(last - first) / 1e6:.3f} ms"
        )
    return window
