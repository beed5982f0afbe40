"""Turn batches of Kineto events into columns; a file may be read in several parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.damage import Damage
from idlescope.trace.interner import Interner
from idlescope.trace.kineto import categories
from idlescope.trace.kineto.records import Args, Batch, Event
from idlescope.trace.kineto.times import exact_ns, typical_ns
from idlescope.trace.kineto.typed_events import TYPES, UNWANTED
from idlescope.trace.model import Calls, Collectives, Counters, Operations, Ranges
from idlescope.trace.plausible_times import Spans, all_plausible, doubts
from idlescope.trace.table import Int32, Int64, Table

_INT64 = range(-(2**63), 2**63)
_INT32 = range(-(2**31), 2**31)
_NO_ARGS = Args()

# Categories by code: operations first, then calls, then ranges; then two more codes.
_CATEGORIES = (*categories.OPERATIONS, *sorted(categories.CALLS), *categories.RANGES)
_NO_CATEGORY, _SKIPPED = len(_CATEGORIES), len(_CATEGORIES) + 1
_OPERATOR = _CATEGORIES.index("cpu_op")
_IS_DETAIL = np.array(
    [category in categories.DETAIL for category in _CATEGORIES] + [False, False]
)
_CODE_OF_CATEGORY = {category: code for code, category in enumerate(_CATEGORIES)}
_CODE_OF_TYPE: dict[type, int] = {
    **{of: _CODE_OF_CATEGORY.get(category, _SKIPPED) for category, of in TYPES.items()},
    **dict.fromkeys(UNWANTED.values(), _SKIPPED),
}
_NO_GROUP, _OPERATION, _CALL, _RANGE = range(4)
# For each code of a category: which table its events go to, and their kind in that table.
_GROUP = np.repeat(
    np.array([_OPERATION, _CALL, _RANGE, _NO_GROUP], np.uint8),
    [len(categories.OPERATIONS), len(categories.CALLS), len(categories.RANGES), 2],
)
_KIND_OF_CATEGORY = categories.OPERATIONS | categories.RANGES
_KIND = np.array(
    [_KIND_OF_CATEGORY.get(category, 0) for category in _CATEGORIES] + [0, 0], np.uint8
)

Track = tuple[str, str]  # pid and tid as text: tools write them as numbers or as names


class Gpu(NamedTuple):
    """What tells the devices of a file apart."""

    pid: str  # of the device's track
    device: int  # its index
    process: str  # pid that launched its work, where the file states it; else ""


@dataclass
class Part:
    """The columns of a stretch of a file.

    Codes are indices into this part's own names, threads, streams and GPUs.
    """

    tables: dict[type[Table], list[Table]]
    names: tuple[str, ...]
    threads: tuple[Track, ...]
    streams: tuple[str, ...]
    gpus: tuple[Gpu, ...]
    thread_names: dict[Track, str]
    metadata: dict[str, Any]
    damage: Damage
    events: int
    operation_blocks: list[
        tuple[int, int]
    ]  # how many operations came from the block at which byte

    def join(self) -> None:
        """Make one table of the tables of each kind."""
        for kind, tables in self.tables.items():
            self.tables[kind] = [kind.joined(tables)]


class TimedEvents(NamedTuple):
    """Events of one table whose times can be true."""

    events: list[Event]
    start: Int64  # ns
    end: Int64  # ns
    kind: NDArray[np.uint8]


@dataclass
class Builder:
    """Collects columns batch by batch."""

    damage: Damage
    frames: bool = True  # read operators and Python frames
    # idlescope wrote the file: spans state their step and track, instants are counters
    own: bool = False
    events: int = 0
    names: Interner[str] = field(default_factory=Interner)
    threads: Interner[Track] = field(default_factory=Interner)
    streams: Interner[str] = field(default_factory=Interner)
    gpus: Interner[tuple[str, int, str]] = field(default_factory=Interner)  # as Gpu
    thread_names: dict[Track, str] = field(default_factory=dict)
    operation_blocks: list[tuple[int, int]] = field(default_factory=list)
    tables: dict[type[Table], list[Table]] = field(
        default_factory=lambda: {
            Operations: [],
            Calls: [],
            Ranges: [],
            Counters: [],
            Collectives: [],
        }
    )

    def __post_init__(self) -> None:
        self._typical_ns = 0  # a time that is typical of what was read last
        self._name_codes = _Codes(self.names, str)
        self._thread_codes = _Codes(self.threads, lambda key: (str(key[0]), str(key[1])))

    def add(self, batch: Batch) -> None:
        """Add the events of one batch."""
        self._typical_ns = self._typical_ns or typical_ns(batch.events, 0)
        self.events += len(batch.events)
        codes = self._categories(batch)
        groups = _GROUP[codes]
        for group, add in (
            (_RANGE, self._add_ranges),
            (_CALL, self._add_calls),
            (_OPERATION, self._add_operations),
        ):
            rows = np.flatnonzero(groups == group)
            if rows.size:
                add(batch, rows, _KIND[codes[rows]])
        if not batch.typed:  # of those, each has a category
            self._add_others(batch, np.flatnonzero(codes == _NO_CATEGORY).tolist())

    def _categories(self, batch: Batch) -> NDArray[np.uint8]:
        """Return the code of each event's category; those that are of no table are skipped."""
        if batch.typed:
            event_types = map(type, batch.events)
            found = map(_CODE_OF_TYPE.__getitem__, event_types)
        else:
            found = map(_code_of_category, batch.events)
        codes = np.fromiter(found, np.uint8, len(batch.events))
        if not self.frames:
            _skip_detail(batch.events, codes)
        return codes

    def part(self, metadata: dict[str, Any]) -> Part:
        """Return all that was added."""
        return Part(
            tables=self.tables,
            names=self.names.values(),
            threads=self.threads.values(),
            streams=self.streams.values(),
            gpus=tuple(Gpu(*gpu) for gpu in self.gpus.values()),
            thread_names=self.thread_names,
            metadata=metadata,
            damage=self.damage,
            events=self.events,
            operation_blocks=self.operation_blocks,
        )

    def _timed(
        self, batch: Batch, rows: Int64, kinds: NDArray[np.uint8], record: str
    ) -> TimedEvents:
        """Return the events of some rows; those whose times cannot be true are counted instead.

        `record` is what a row is, of damage.KINDS.
        """
        events = batch.events
        if rows.size < len(events):
            events = [events[event_row] for event_row in rows.tolist()]
        start, start_known = exact_ns(
            [event.ts for event in events], partial(_raw_times, batch, rows, "ts")
        )
        length, length_known = exact_ns(
            [event.dur for event in events], partial(_raw_times, batch, rows, "dur")
        )
        spans = Spans(record, start, length, start_known & length_known)
        if all_plausible(spans, self._typical_ns):
            self._typical_ns = int(start[start.size // 2])
            return TimedEvents(events, start, start + length, kinds)

        kept_rows = self._undoubted(batch, rows, spans)
        kept_events = [events[event_row] for event_row in kept_rows.tolist()]
        start, length = start[kept_rows], length[kept_rows]
        return TimedEvents(kept_events, start, start + length, kinds[kept_rows])

    def _undoubted(self, batch: Batch, rows: Int64, spans: Spans) -> Int64:
        """Return which spans have times that can be true; count the others."""
        self._typical_ns = typical_ns(batch.events, self._typical_ns)
        undoubted = np.ones(rows.size, np.bool_)
        for doubt in doubts(spans, self._typical_ns):
            first_row = int(rows[doubt.rows[0]])
            self.damage.dropped(
                f"{spans.kind} {doubt.what} were left out",
                batch.place(first_row),
                spans.kind,
                doubt.rows.size,
            )
            undoubted[doubt.rows] = False
        return np.flatnonzero(undoubted)

    def _add_ranges(self, batch: Batch, rows: Int64, kinds: NDArray[np.uint8]) -> None:
        timed = self._timed(batch, rows, kinds, "ranges")
        new_table = Ranges.of(
            start=timed.start,
            end=timed.end,
            thread=self._threads(timed.events),
            name=self._names(timed.events),
            kind=timed.kind,
            step=self._steps(batch, timed.events),
        )
        self.tables[Ranges].append(new_table)

    def _add_calls(self, batch: Batch, rows: Int64, kinds: NDArray[np.uint8]) -> None:
        timed = self._timed(batch, rows, kinds, "calls")
        correlations = [arguments.correlation for arguments in _args(timed.events)]
        new_table = Calls.of(
            start=timed.start,
            end=timed.end,
            thread=self._threads(timed.events),
            name=self._names(timed.events),
            correlation=self._ints(batch, correlations),
        )
        self.tables[Calls].append(new_table)

    def _add_operations(self, batch: Batch, rows: Int64, kinds: NDArray[np.uint8]) -> None:
        timed = self._timed(batch, rows, kinds, "operations")
        events, args = timed.events, _args(timed.events)
        self.operation_blocks.append((len(events), batch.offset))
        correlations = [arguments.correlation for arguments in args]
        bytes_moved = [arguments.bytes for arguments in args]
        flops = np.zeros(len(args))
        if self.own:
            flops[:] = [_flops(arguments.flops) for arguments in args]
        devices = self._gpus(batch, events, args)
        correlation = self._ints(batch, correlations)
        self._add_collectives(args, devices, correlation)
        new_table = Operations.of(
            start=timed.start,
            end=timed.end,
            kind=timed.kind,
            device=devices,
            stream=self._streams(events, args),
            name=self._names(events),
            correlation=correlation,
            step=self._steps(batch, events),
            bytes=self._ints(batch, bytes_moved),
            flops=flops,
        )
        self.tables[Operations].append(new_table)

    def _add_collectives(
        self, args: list[Args], devices: Int32, correlation: Int64
    ) -> None:
        """Add what arguments say of the process groups of collectives."""
        rows = [row for row, arguments in enumerate(args) if arguments.group is not None]
        if not rows:
            return
        names = [_process_group(args[row]) for row in rows]
        new_table = Collectives.of(
            device=devices[rows],
            correlation=correlation[rows],
            name=[self._name_codes[name] for name in names],
        )
        self.tables[Collectives].append(new_table)

    def _add_others(self, batch: Batch, rows: list[int]) -> None:
        """Add counters and the names of threads."""
        counter_phases = ("C", "i") if self.own else ("C",)
        for event_row in rows:
            event = batch.events[event_row]
            if event.args is None:
                continue
            if event.ph == "M" and event.name == "thread_name":
                self.thread_names[str(event.pid), str(event.tid)] = str(event.args.name)
            elif event.ph in counter_phases and event.args.value is not None:
                self._add_counter(batch, event_row, event, event.args.value)

    def _add_counter(self, batch: Batch, event_row: int, event: Event, value: Any) -> None:
        time, readable = exact_ns(
            [event.ts], partial(_raw_times, batch, np.array([event_row]), "ts")
        )
        if readable.all():
            new_table = Counters.of(
                time=time, name=self._names([event]), value=[_float(value)]
            )
            self.tables[Counters].append(new_table)

    def _names(self, events: list[Event]) -> Int32:
        code_of = self._name_codes
        try:
            codes = [code_of[event.name] for event in events]
        except TypeError:  # a name that is a list or an object
            codes = [code_of[str(event.name)] for event in events]
        return np.fromiter(codes, np.int32, len(codes))

    def _threads(self, events: list[Event]) -> Int32:
        code_of = self._thread_codes
        process_ids = [event.pid for event in events]
        thread_ids = self._tids(events)
        try:
            if _all_equal(process_ids) and _all_equal(thread_ids):  # as a rule, and faster
                only_track = process_ids[0], thread_ids[0]
                return np.full(len(events), code_of[only_track], np.int32)
            tracks = zip(process_ids, thread_ids, strict=True)
            codes = [code_of[track] for track in tracks]
        except TypeError:  # an id that is a list or an object
            texts = zip(map(str, process_ids), map(str, thread_ids), strict=True)
            codes = [code_of[track] for track in texts]
        return np.fromiter(codes, np.int32, len(codes))

    def _tids(self, events: list[Event]) -> list[Any]:
        """Return the thread of each event; our own files may have laid it on another track."""
        if not self.own:
            return [event.tid for event in events]
        return [
            event.tid if arguments.track is None else arguments.track
            for event, arguments in zip(events, _args(events), strict=True)
        ]

    def _gpus(self, batch: Batch, events: list[Event], args: list[Args]) -> Int32:
        devices = [
            event.pid if arguments.device is None else arguments.device
            for event, arguments in zip(events, args, strict=True)
        ]
        process_ids = [event.pid for event in events]
        if not self.own and _all_equal(devices) and _all_equal(process_ids):  # as a rule
            only_gpu = (str(process_ids[0]), self._int(batch, devices[0], -1), "")
            return np.full(len(events), self.gpus.code(only_gpu), np.int32)
        # plain tuples: making a Gpu of each would take longer than all else here
        gpus = []
        for event, arguments, device in zip(events, args, devices, strict=True):
            process = ""
            # in other files, an argument of that name may mean anything
            if self.own and arguments.process is not None:
                process = str(arguments.process)
            gpus.append((str(event.pid), self._int(batch, device, -1), process))
        return self.gpus.codes(gpus)

    def _streams(self, events: list[Event], args: list[Args]) -> Int32:
        streams = [
            event.tid if arguments.stream is None else arguments.stream
            for event, arguments in zip(events, args, strict=True)
        ]
        if _all_equal(streams):  # as a rule
            return np.full(len(events), self.streams.code(str(streams[0])), np.int32)
        return self.streams.codes(map(str, streams))

    def _steps(self, batch: Batch, events: list[Event]) -> Int32:
        """Return the steps that our own files state; -1 elsewhere."""
        if not self.own:
            return np.full(len(events), -1, np.int32)
        steps = [self._int(batch, arguments.step, -1) for arguments in _args(events)]
        return np.array([step if step in _INT32 else -1 for step in steps], np.int32)

    def _ints(self, batch: Batch, values: list[Any]) -> Int64:
        if set(map(type, values)) <= {int}:
            numbers = np.array(values)
            if numbers.dtype == np.int64 or not values:
                return numbers.astype(np.int64)
        return np.array([self._int(batch, value) for value in values], np.int64)

    def _int(self, batch: Batch, value: Any, default: int = 0) -> int:
        """Return an id that the profiler wrote as a number, as text, or not at all."""
        try:
            number = default if value is None else int(value)
        except (TypeError, ValueError, OverflowError):
            return default
        if number in _INT64:
            return number
        place = f"the block from byte {batch.offset:,}"
        self.damage.repaired("ids beyond 64 bits were taken as missing", place)
        return default


class _Codes(dict[Hashable, int]):
    """Codes by the value as it stands in the file.

    The key that an interner keeps is made once for each such value.
    """

    def __init__(self, interner: Interner[Any], key: Callable[[Any], Hashable]) -> None:
        super().__init__()
        self._interner = interner
        self._key = key

    def __missing__(self, value: Hashable) -> int:
        code = self[value] = self._interner.code(self._key(value))
        return code


def _code_of_category(event: Event) -> int:
    """Return the code of an event's category; only of complete events is one of a table."""
    if event.cat is None:
        return _NO_CATEGORY
    return _CODE_OF_CATEGORY.get(event.cat, _SKIPPED) if event.ph == "X" else _SKIPPED


def _skip_detail(events: list[Event], codes: NDArray[np.uint8]) -> None:
    """Skip operators and Python frames, but for operators that are torch.profiler's own steps."""
    detail = np.flatnonzero(_IS_DETAIL[codes]).tolist()
    codes[detail] = _SKIPPED
    steps = [
        row for row in detail if str(events[row].name).startswith(categories.STEP_NAME)
    ]
    codes[steps] = _OPERATOR


def _all_equal(values: list[Any]) -> bool:
    """Return whether there are values, and all are the same."""
    return bool(values) and values.count(values[0]) == len(values)


def _process_group(arguments: Args) -> str:
    """Return what tells a process group from others: its name and its ranks, as far as stated."""
    return f"{arguments.group} {arguments.group_ranks or ''}".strip()


def _args(events: list[Event]) -> list[Args]:
    return [event.args or _NO_ARGS for event in events]


def _raw_times(batch: Batch, rows: Int64, field_name: str) -> list[str]:
    """Return the text of a field, `ts` or `dur`, of some events."""
    raw = [getattr(event, field_name) for event in batch.raw()]
    return [bytes(raw[event_row]).decode() for event_row in rows.tolist()]


def _float(value: Any) -> float:
    """Return a number that may be written as text; 0 where it is none."""
    try:
        return float(value or 0)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _flops(value: Any) -> float:
    """Return a count of floating-point operations; 0, which is not known, where it is none."""
    flops = _float(value)
    return flops if math.isfinite(flops) else 0.0
