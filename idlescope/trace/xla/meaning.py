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

THREADS_APART = (
    "XLA names the threads of calls otherwise than those of ranges: what the host did while a "
    "device waited for it is not told"
)

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


class LineMeaning(NamedTuple):
    """Whose events a line has."""

    device: (
        tuple[str, int] | None
    )  # process and number of a device; None: a thread of the host
    stream: str
    thread: tuple[str, str]  # process and name


class Meaning:
    """Sorts the events of a profile into tables."""

    def __init__(self, rows: EventRows, process: str) -> None:
        self.gathered = rows.gathered
        self.process = process
        self._rows = rows
        self._lines: dict[Line, LineMeaning | None] = {}
        self._is_call: dict[str, bool] = {}
        self._calling: set[str] = set()
        self._ranging: set[str] = set()

    def of_line(self, line: Line) -> LineMeaning | None:
        """Return whose events a line has; None for one that is not read."""
        if line not in self._lines:
            self._lines[line] = self._of_line(line)
        return self._lines[line]

    def _of_line(self, line: Line) -> LineMeaning | None:
        thread = (self.process, line.name)
        device = DEVICE.match(line.plane)
        if device is None:
            return LineMeaning(None, "", thread) if HOST.match(line.plane) else None
        key = (self.process, int(device[2]))
        if device[1] == "TPU":
            is_read = line.name == TPU_OPERATIONS
            return LineMeaning(key, line.name, thread) if is_read else None
        stream = STREAM.match(line.name)
        return LineMeaning(key, f"stream {stream[1]}", thread) if stream else None

    def describe(self, plane: str, statistics: Statistics) -> None:
        """Keep what a plane says of its device."""
        device = DEVICE.match(plane)
        if device is not None:
            said = statistics.get("device_type_string") or statistics.get("device_vendor")
            self.gathered.gpus[self.process, int(device[2])] = Gpu(str(said or ""))

    def add(self, line: LineMeaning, event: Event) -> None:
        """Add an event; instants have no length and are left out."""
        name, start, end, statistics = event
        if line.device is not None:
            self._add_operation(line, event)
            return
        is_call = self._is_call.get(name)
        if is_call is None:
            is_call = self._is_call[name] = rocm.API_CALL.match(name) is not None
        # Copies of newer versions are called by their direction on the host, too (`MemcpyD2H`).
        if is_call or "correlation_id" in statistics:
            correlation = integer(statistics.get("correlation_id", 0))
            self._calling.add(line.thread[1])
            self._rows.call(Span(name, start, end), line.thread, correlation)
        elif end > start:
            self._add_range(line, event)

    def _add_range(self, line: LineMeaning, event: Event) -> None:
        name, kind = event.name, RangeKind.ANNOTATION
        if name.startswith(PYTHON_FRAME):
            name, kind = name.removeprefix(PYTHON_FRAME), RangeKind.FRAME
        elif HLO_OPERATION in event.statistics:
            kind = RangeKind.OPERATOR
        step = integer(event.statistics.get(STEP, -1), -1)
        self._ranging.add(line.thread[1])
        self._rows.range(Span(name, event.start, event.end), line.thread, kind, step)

    def _add_operation(self, line: LineMeaning, event: Event) -> None:
        assert line.device is not None
        kind, name = _kind_and_name(event.name, event.statistics)
        size = None
        if kind == OperationKind.MEMCPY:
            size = SIZE.search(str(event.statistics.get("memcpy_details", "")))
        self._rows.operation(
            Span(name, event.start, event.end),
            kind,
            line.device,
            line.stream,
            integer(event.statistics.get("correlation_id", 0)),
            int(size[1]) if size else 0,
        )

    def finish(self) -> None:
        """Hand the tables over, and say what the profile cannot tell."""
        if self._calling and self._ranging and not self._calling & self._ranging:
            self.gathered.notes.append(THREADS_APART)
        self._rows.finish("event")


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
