"""Read the `trace_view.json` of Ascend's profiler (torch_npu, MindSpore) into a Trace.

Processes are told by their names: `Ascend Hardware` has a thread for each stream, `CANN` the calls
of the runtime, `Python` operators and annotations (hiascend.com, "Timeline and Summary Data"). A
task shares its `connection_id` with the `Node@launch` that issued it, else an arrow `HostToDevice`
leads from one to the other. Times are microseconds, as text with three decimals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from idlescope.errors import TraceError
from idlescope.trace import chrome_events
from idlescope.trace.chrome_events import ChromeEvent, TimedEvent
from idlescope.trace.event_rows import EventRows, Span, integer
from idlescope.trace.gathered import Gathered, Gpu
from idlescope.trace.kineto import categories
from idlescope.trace.model import OperationKind, RangeKind, Trace
from idlescope.trace.names.operators import range_text

HARDWARE, RUNTIME = "Ascend Hardware", "CANN"
# Lanes that are made of others: sums of what is elsewhere, and groups of communication tasks.
DERIVED = re.compile(
    r"^(Overlap Analysis|Communication|HCCL|AI Core Freq|HBM|LLC|DDR|NPU MEM)"
)
ARROW = "HostToDevice"

# Task types in which nothing is computed or moved: records and waits of events, and bookkeeping.
NO_WORK = re.compile(
    r"WAIT|EVENT|NOTIFY|RECORD|PROFIL|MODEL_(EXECUTE|MAINT)|PLACE_HOLDER|LABEL"
    r"|STREAM_(SWITCH|ACTIVE)"
)
COPY = re.compile(r"MEMCPY|SDMA|DMA_SQE", re.IGNORECASE)
NO_CONNECTION = (0, 2**32 - 1)  # as the profiler marks tasks without one

NUMBER = re.compile(r"(\d{1,9})\s*$")
ADVICE = "export it again with torch_npu.profiler.profiler.analyse(FOLDER)"


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of a trace_view.json.

    `progress` is called with the number of events read so far. Without `frames`, operators and
    Python frames are left out.

    Raises TraceError for a file that is damaged, or holds no events.
    """
    gathered = Gathered(progress)
    events = chrome_events.decoded(path, ADVICE)
    rows = EventRows(gathered, frames)
    meaning = _Meaning(rows, events)
    for timed_event in chrome_events.timed(events):
        meaning.add(timed_event)
    rows.finish("event")
    if not gathered.events:
        raise TraceError(f"{path} holds no tasks, calls or ranges: {ADVICE}")
    return gathered.trace("ascend", path)


class _Meaning:
    """Sorts events into tables, by the process that they are of."""

    def __init__(self, rows: EventRows, events: Sequence[ChromeEvent]) -> None:
        self._rows = rows
        self._processes = chrome_events.names_of(events, "process_name")
        self._labels = chrome_events.names_of(events, "process_labels", "labels")
        self._threads = chrome_events.names_of(events, "thread_name")
        self._arrows = _arrows(events)
        self._process = _host_process(self._processes)

    def add(self, timed_event: TimedEvent) -> None:
        """Add an event; one without a time is counted."""
        event, start, end = timed_event
        process = self._processes.get(str(event.pid), "")
        if DERIVED.match(process):
            return
        if start is None or end is None:
            damage = self._rows.gathered.damage
            damage.dropped(
                "events without a time were left out", process or "the file", "unknown"
            )
            return
        span = Span(event.name, start, end)
        if process == HARDWARE:
            self._add_task(event, span)
        elif process == RUNTIME:
            self._rows.call(span, self._thread(event), self._connection(event, start))
        else:
            text = range_text(event.name)
            kind = categories.RANGES.get(event.cat, RangeKind.ANNOTATION)
            if text.is_operator:
                kind = RangeKind.OPERATOR
            self._rows.range(span._replace(name=text.text), self._thread(event), kind)

    def _add_task(self, event: ChromeEvent, span: Span) -> None:
        task_type = str(event.argument("Task Type") or "")
        if NO_WORK.search(task_type) or (not task_type and NO_WORK.search(event.name)):
            return
        kind = OperationKind.MEMCPY if COPY.search(task_type) else OperationKind.KERNEL
        stream = self._threads.get(str((event.pid, event.tid))) or f"Stream {event.tid}"
        self._rows.operation(
            span,
            kind,
            self._device(event.pid),
            stream,
            self._connection(event, span.start),
            integer(event.argument("size(B)")),
        )

    def _device(self, pid: Any) -> tuple[str, int]:
        """Return the NPU that a hardware process is, which its label numbers."""
        number = NUMBER.search(self._labels.get(str(pid), ""))
        key = self._process, int(number[1]) if number else 0
        self._rows.gathered.gpus.setdefault(key, Gpu("Ascend NPU"))
        return key

    def _thread(self, event: ChromeEvent) -> tuple[str, str]:
        name = self._threads.get(str((event.pid, event.tid)))
        return self._process, name or f"Thread {event.tid}"

    def _connection(self, event: ChromeEvent, start: int) -> int:
        """Return the id that a task and its launch share; 0 where there is none."""
        connection = integer(event.argument("connection_id"))
        if connection in NO_CONNECTION:
            return self._arrows.get((str(event.pid), str(event.tid), start), 0)
        return connection


def _host_process(processes: dict[Any, str]) -> str:
    """Return what the process is called: the pid of its Python part, else of the runtime's."""
    for wanted in ("Python", RUNTIME):
        for pid, name in processes.items():
            if name == wanted:
                return str(pid)
    return "host"


def _arrows(events: Sequence[ChromeEvent]) -> dict[tuple[str, str, int], int]:
    """Return the number of the arrow that begins or ends at a place and time (ns).

    The numbers are below all connection ids.
    """
    tips = [event for event in events if event.ph in ("s", "f") and event.cat == ARROW]
    as_complete = [
        ChromeEvent(ph="X", pid=tip.pid, tid=tip.tid, ts=tip.ts, dur=0, id=tip.id)
        for tip in tips
    ]
    numbers: dict[str, int] = {}
    arrows = {}
    for tip, start, _ in chrome_events.timed(as_complete):
        if start is not None:
            number = numbers.setdefault(str(tip.id), -len(numbers) - 1)
            arrows[str(tip.pid), str(tip.tid), start] = number
    return arrows
