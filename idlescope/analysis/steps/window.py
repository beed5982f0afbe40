"""The stretch of time that figures are of: all operations, or what the user names."""

from __future__ import annotations

import re
from enum import Enum

import numpy as np
from msgspec import Struct

from idlescope.analysis.steps.find import Division
from idlescope.analysis.view import DeviceView
from idlescope.errors import ConfigError
from idlescope.trace.model import Operations
from idlescope.trace.table import Bool

FIRST_LAST = "first-last"  # what --window is unless given
FORMS = (
    "first-last, range:NAME, steps:A-B or time:A-B (as in time:1.5s-2s, time:200ms-350ms)"
)
LONGEST_NS = 1 << 61
_UNITS_NS = {"": 1, "ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9}
# Of 18 digits at most, as Python takes no number of thousands of them.
_NUMBER, _UNIT = r"(\d{1,18}(?:\.\d{1,18})?)", r"(ns|us|µs|ms|s|)"
_TIMES = re.compile(f"^{_NUMBER}{_UNIT}-{_NUMBER}{_UNIT}$")
_LENGTH = re.compile(rf"^{_NUMBER}\s*{_UNIT}$")
_STEPS = re.compile(r"^(\d{1,18})-(\d{1,18})$")


class WindowKind(str, Enum):
    """How a window is chosen."""

    FIRST_LAST = "first-last"  # from the device's first operation to its last
    RANGE = "range"  # from the first to the last range of a name
    STEPS = "steps"
    TIME = "time"


class WindowSpec(Struct, frozen=True):
    """What the user asked for; made by `parse`."""

    kind: WindowKind
    asked: str  # the text
    name: str = ""  # of ranges
    low: int = 0  # first step, or ns from the first operation of the trace
    high: int = 0  # last step, or ns from the first operation of the trace


class Window(Struct, frozen=True):
    """A window [start, end) on one device, in ns, and how it was chosen."""

    kind: WindowKind
    asked: str  # the text
    start: int
    end: int
    note: str = ""

    def touches(self, operations: Operations) -> Bool:
        """Return for each operation whether it runs within the window, in part at least."""
        start, end = operations.start, operations.end
        overlapping = (end > self.start) & (start < self.end)
        of_no_length = (end == start) & (start >= self.start) & (start <= self.end)
        return np.asarray(overlapping | of_no_length, np.bool_)


def parse(text: str) -> WindowSpec:
    """Return the window that a text asks for. Raises ConfigError where it is none of the forms."""
    if text == FIRST_LAST:
        return WindowSpec(WindowKind.FIRST_LAST, text)
    kind, _, rest = text.partition(":")
    if kind == "range" and rest:
        return WindowSpec(WindowKind.RANGE, text, name=rest)
    if kind == "steps" and (match := _STEPS.match(rest)):
        first, last = int(match[1]), int(match[2])
        if first <= last:
            return WindowSpec(WindowKind.STEPS, text, low=first, high=last)
    if kind == "time" and (match := _TIMES.match(rest)):
        low_number, low_unit, high_number, high_unit = match.groups()
        if not low_unit and not high_unit:
            wanted = f"time:{low_number}ms-{high_number}ms"
            raise ConfigError(f"--window {text}: {high_number} what? write {wanted}")
        # A unit may be given once for both ends.
        low = _ns(low_number, low_unit or high_unit)
        high = _ns(high_number, high_unit or low_unit)
        if low < high < LONGEST_NS:
            return WindowSpec(WindowKind.TIME, text, low=low, high=high)
    raise ConfigError(
        f"--window {text} is no window: give {FORMS}, the first not after the last"
    )


def length_ns(text: str, option: str) -> int:
    """Return a length of time such as `10us` or `1.5ms` in ns; only 0 needs no unit.

    Raises ConfigError, which names the option that it was given to, where the text is none.
    """
    match = _LENGTH.match(text)
    if not match:
        raise ConfigError(
            f"{option} {text} is no length of time: give a number with ns, us, ms or s, as in 10us"
        )
    number, unit = match.groups()
    if not unit and float(number):
        raise ConfigError(f"{option} {text}: {number} what? write {number}us or {number}ms")
    return _ns(number, unit)


def _ns(number: str, unit: str) -> int:
    """Return a decimal number of a unit in ns, exactly."""
    whole, _, fraction = number.partition(".")
    scale = _UNITS_NS[unit]
    return int(whole) * scale + int(fraction or "0") * scale // 10 ** len(fraction)


def resolve(spec: WindowSpec, view: DeviceView, division: Division) -> Window:
    """Return the window on one device; `division` are its steps.

    Times count from the first operation of the trace, or of the process where processes have clocks
    of their own. Raises ConfigError where there is no such range, step or time.
    """
    if spec.kind == WindowKind.RANGE:
        return _checked(_of_range(spec, view), view)
    if spec.kind == WindowKind.STEPS:
        return _of_steps(spec, view, division)
    if spec.kind == WindowKind.TIME:
        return _checked(_of_time(spec, view), view)
    first, last = int(view.operations.start.min()), int(view.operations.end.max())
    return Window(spec.kind, spec.asked, first, last)


def _of_range(spec: WindowSpec, view: DeviceView) -> Window:
    """Return the window from the first to the last range of a name."""
    trace, ranges = view.trace, view.trace.ranges
    rows = np.flatnonzero(ranges.name == trace.name_index(spec.name))
    own = trace.threads_of(view.process)[ranges.thread[rows]]
    # Each process has its own ranges of that name, and maybe its own clock.
    if own.any() or _clocks_apart(view):
        rows = rows[own]
    if not rows.size:
        raise ConfigError(
            f"no range of the trace is called {spec.name!r}: give --window a name as the trace "
            "has it"
        )
    note = f"from the first to the last of {rows.size} ranges of that name"
    return Window(
        kind=spec.kind,
        asked=spec.asked,
        start=int(ranges.start[rows].min()),
        end=int(ranges.end[rows].max()),
        note=note if rows.size > 1 else "",
    )


def _of_steps(spec: WindowSpec, view: DeviceView, division: Division) -> Window:
    """Return the window from the first to the last operation of some steps."""
    step, number = division.step, division.host.step
    rows = np.flatnonzero((step >= spec.low) & (step <= spec.high) & (step >= 0))
    if not rows.size:
        known = f"{number.min()} to {number.max()}" if number.size else "none were found"
        raise ConfigError(
            f"--window {spec.asked}: no operation belongs to these steps; the trace's steps: "
            f"{known}"
        )
    return Window(
        kind=spec.kind,
        asked=spec.asked,
        start=int(view.operations.start[rows].min()),
        end=int(view.operations.end[rows].max()),
        note="from the first operation of these steps to the end of their last",
    )


def _of_time(spec: WindowSpec, view: DeviceView) -> Window:
    """Return the window between two times since the first operation."""
    origin = _origin(view)
    of_what = "process" if _clocks_apart(view) else "trace"
    return Window(
        kind=spec.kind,
        asked=spec.asked,
        start=origin + spec.low,
        end=origin + spec.high,
        note=f"from the first operation of the {of_what}",
    )


def _origin(view: DeviceView) -> int:
    """Return the time from which times of windows count."""
    starts = view.trace.operations.start
    if _clocks_apart(view):
        starts = starts[view.trace.operations_of(view.process)]
    return int(starts.min())


def time_text(view: DeviceView, start: int, end: int) -> str:
    """Return the window [start, end), in ns on the trace's clock, as `parse` takes it.

    It is widened to whole microseconds.
    """
    origin = _origin(view)
    low_us = max(start - origin, 0) // 1000
    high_us = -(-(end - origin) // 1000)
    return f"time:{low_us / 1e3:.3f}ms-{high_us / 1e3:.3f}ms"


def _clocks_apart(view: DeviceView) -> bool:
    """Return whether each process of the trace has a clock of its own."""
    return view.trace.meta.clocks_apart


def _checked(window: Window, view: DeviceView) -> Window:
    """Return the window. Raises ConfigError where it does not touch the device's operations."""
    first, last = int(view.operations.start.min()), int(view.operations.end.max())
    if window.end <= first or window.start >= last or window.end <= window.start:
        span_ms = (last - first) / 1e6
        raise ConfigError(
            f"--window {window.asked} does not touch the device's operations, which span "
            f"{span_ms:.3f} ms"
        )
    operations = view.operations
    if not window.touches(operations).any():
        ended = operations.end[operations.end <= window.start].max()
        next_start = operations.start[operations.start >= window.end].min()
        gap = time_text(view, int(ended), int(next_start)).removeprefix("time:")
        raise ConfigError(
            f"--window {window.asked} lies within a gap: device {view.device.index} runs nothing "
            f"in {gap}; take in what comes before and after it"
        )
    return window
