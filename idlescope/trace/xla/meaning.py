"""What the events of an XLA profile are: planes, lines and statistics have fixed names.

They are those of xla/tsl/profiler/utils/xplane_schema.h. A device's plane has one line per stream;
other lines of it are derived from those (steps, modules, name scopes) and are left out. Of a TPU
the line of XLA's operations is what ran. An operation shares its `correlation_id` with the call of
the runtime that launched it. Threads of calls are named by the system, those of ranges by XLA, so
that which range a call was made in is known only where both are on one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from idlescope.trace.event_rows import EventRows, Span, integer
from idlescope.trace.gathered import Gpu
from idlescope.trace.model import OperationKind, RangeKind
from idlescope.trace.names import rocm

DEVICE = re.compile(r"^/device:(GPU|TPU):(\d{1,9})$")
HOST = re.compile(r"^/host:(?!metadata|tfstreamz|__)")
STREAM = re.compile(r"^Stream #?(\S+?)(\(.*\))?$")
TPU_OPERATIONS = "XLA Ops"

COPY = re.compile(r"^Memcpy|^hipMemcpy|_memcpy", re.IGNORECASE)
FILL = re.compile(r"^Mem[sS]et|^hipMemset")
# memcpy_details, such as "kind_src:host kind_dst:device size:8 dest:0 async:1"
SIZE = re.compile(r"\bsize:(\d{1,18})\b")
DIRECTION = re.compile(r"Memcpy(H|D|P)2(H|D|P)")
PYTHON_FRAME = "$"  # before the file of a function, as the Python tracer names it
HLO_OPERATION = "hlo_op"
STEP = "step_num"  # of jax.profiler.StepTraceAnnotation

Statistics = Mapping[str, Any]


class Event(NamedTuple):
    """One event of a line, its times in ns."""

    name: str
    start: int
    end: int
    statistics: Statistics


class Line(NamedTuple):
    """One line of a plane."""

    plane: str
    name: str


class Meaning:
    """Sorts the events of a profile into tables."""

    def __init__(self, rows: EventRows, process: str) -> None:
        self.gathered = rows.gathered
        self.process = process
        self._rows = rows

    def is_wanted(self, line: Line) -> bool:
        """Return whether a line has what is read."""
        device = DEVICE.match(line.plane)
        if device is None:
            return HOST.match(line.plane) is not None
        is_stream = STREAM.match(line.name) is not None
        return line.name == TPU_OPERATIONS if device[1] == "TPU" else is_stream

    def describe(self, plane: str, statistics: Statistics) -> None:
        """Keep what a plane says of its device."""
        device = DEVICE.match(plane)
        if device is not None:
            said = statistics.get("device_type_string") or statistics.get("device_vendor")
            self.gathered.gpus[self.process, int(device[2])] = Gpu(str(said or ""))

    def add(self, line: Line, event: Event) -> None:
        """Add an event of a line that is wanted; instants have no length and are left out."""
        correlation = integer(event.statistics.get("correlation_id"))
        span = Span(event.name, event.start, event.end)
        thread = (self.process, line.name)
        device = DEVICE.match(line.plane)
        if device is not None:
            self._add_operation(line, event, int(device[2]), correlation)
        elif rocm.API_CALL.match(event.name):
            self._rows.call(span, thread, correlation)
        elif event.name.startswith(PYTHON_FRAME):
            frame = span._replace(name=event.name.removeprefix(PYTHON_FRAME))
            self._rows.range(frame, thread, RangeKind.FRAME)
        elif event.end > event.start:
            is_operation = HLO_OPERATION in event.statistics
            kind = RangeKind.OPERATOR if is_operation else RangeKind.ANNOTATION
            step = integer(event.statistics.get(STEP), -1)
            self._rows.range(span, thread, kind, step)

    def _add_operation(
        self, line: Line, event: Event, device: int, correlation: int
    ) -> None:
        kind, name = _kind_and_name(event.name, event.statistics)
        details = str(event.statistics.get("memcpy_details", ""))
        size = SIZE.search(details) if kind == OperationKind.MEMCPY else None
        stream = STREAM.match(line.name)
        self._rows.operation(
            Span(name, event.start, event.end),
            kind,
            (self.process, device),
            f"stream {stream[1]}" if stream else line.name,
            correlation,
            int(size[1]) if size else 0,
        )


def _kind_and_name(name: str, statistics: Statistics) -> tuple[OperationKind, str]:
    """Return what a device event is, and what it is called."""
    if "memcpy_details" in statistics or COPY.search(name):
        direction = DIRECTION.search(name)
        return OperationKind.MEMCPY, (
            f"Memcpy {direction[1]}to{direction[2]}" if direction else name
        )
    if (
        "Memset_details" in statistics
        or "memset_details" in statistics
        or FILL.search(name)
    ):
        return OperationKind.MEMSET, name
    kernel = rocm.kernel_name(name)
    return rocm.kernel_kind(kernel), kernel
