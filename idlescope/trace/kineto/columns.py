"""Turn batches of Kineto events into columns; a file may be read in several parts, which are then joined."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.damage import Damage
from idlescope.trace.interner import Interner
from idlescope.trace.kineto import categories
from idlescope.trace.kineto.records import Args, Batch, Event
from idlescope.trace.model import Calls, Counters, Operations, Ranges
from idlescope.trace.table import Bool, Int64, Table

# A float64 holds microseconds to within half a nanosecond below this value: 2**43 us is 101 days.
EXACT_BELOW_US = float(2**43)
INT64_US = 2**63 / 1000  # microseconds beyond which nanoseconds leave int64
# What no sound record shows: a kernel of an hour, a call of a day, a record a month away from those beside it.
HOUR_NS = 3_600_000_000_000
FAR_NS = 30 * 24 * HOUR_NS
LONGEST_NS = {"operations": HOUR_NS, "calls": 24 * HOUR_NS, "ranges": FAR_NS}
ZERO_BELOW_NS = HOUR_NS  # among records of around this time or less, a time of zero can be true
_INT64 = range(-(2**63), 2**63)
_NO_ARGS = Args()

_CATEGORIES = (*categories.OPERATIONS, *sorted(categories.CALLS), *categories.RANGES)
_NO_CATEGORY, _SKIPPED = len(_CATEGORIES), len(_CATEGORIES) + 1
_NO_GROUP, _OPERATION, _CALL, _RANGE = range(4)
_GROUP = np.array(
    [_OPERATION] * len(categories.OPERATIONS) + [_CALL] * len(categories.CALLS) + [_RANGE] * len(categories.RANGES)
    + [_NO_GROUP] * 2, np.uint8,
)  # fmt: skip
_KIND = np.array(
    [(categories.OPERATIONS | categories.RANGES).get(c, 0) for c in _CATEGORIES] + [0, 0], np.uint8
)

Track = tuple[str, str]  # pid and tid as text: tools write them as numbers or as names


@dataclass
class Part:
    """The columns of a stretch of a file; codes are indices into this part's own names, threads, streams and GPUs."""

    tables: dict[type[Table], list[Table]]
    names: tuple[str, ...]
    threads: tuple[Track, ...]
    streams: tuple[str, ...]
    gpus: tuple[
        tuple[str, int, str], ...
    ]  # pid of the device's track, device index, launching pid where stated
    thread_names: dict[Track, str]
    metadata: dict[str, Any]
    damage: Damage
    events: int
    operation_blocks: list[tuple[int, int]]  # how many operations came from the block at which byte

    def join(self) -> None:
        """Make one table of the tables of each kind."""
        for kind, tables in self.tables.items():
            self.tables[kind] = [kind.joined(tables)]


@dataclass
class Builder:
    """Collects columns batch by batch."""

    damage: Damage
    frames: bool = True  # read operators and Python frames
    own: bool = False  # the file says that idlescope wrote it: spans state their step and track, instants are counters
    events: int = 0
    names: Interner[str] = field(default_factory=Interner)
    threads: Interner[Track] = field(default_factory=Interner)
    streams: Interner[str] = field(default_factory=Interner)
    gpus: Interner[tuple[str, int, str]] = field(default_factory=Interner)
    thread_names: dict[Track, str] = field(default_factory=dict)
    operation_blocks: list[tuple[int, int]] = field(default_factory=list)
    tables: dict[type[Table], list[Table]] = field(
        default_factory=lambda: {Operations: [], Calls: [], Ranges: [], Counters: []}
    )

    def __post_init__(self) -> None:
        self._category: dict[Any, int] = {None: _NO_CATEGORY}
        for code, category in enumerate(_CATEGORIES):
            if self.frames or category not in categories.DETAIL:
                self._category[category] = code
        self._around = 0  # a time that is typical of what was read last, ns
        self._name = _Codes(self.names, str)
        self._thread = _Codes(self.threads, lambda key: (str(key[0]), str(key[1])))

    def add(self, batch: Batch) -> None:
        """Add the events of one batch."""
        events, category = batch.events, self._category
        self._around = self._around or _typical_ns(events, 0)
        self.events += len(events)
        codes = np.array([category.get(e.cat, _SKIPPED) for e in events], np.uint8)
        groups = _GROUP[codes]
        for group, add in (
            (_RANGE, self._add_ranges),
            (_CALL, self._add_calls),
            (_OPERATION, self._add_operations),
        ):
            rows = [i for i in np.flatnonzero(groups == group).tolist() if events[i].ph == "X"]
            if rows:
                add(batch, rows, codes)
        self._add_others(batch, np.flatnonzero(codes == _NO_CATEGORY).tolist())

    def part(self, metadata: dict[str, Any]) -> Part:
        """Return all that was added."""
        return Part(
            self.tables, self.names.values(), self.threads.values(), self.streams.values(), self.gpus.values(),
            self.thread_names, metadata, self.damage, self.events, self.operation_blocks,
        )  # fmt: skip

    def _times(
        self, batch: Batch, rows: list[int], codes: NDArray[np.uint8], kind: str
    ) -> tuple[list[Event], Int64, Int64, NDArray[np.uint8]]:
        """Return the events of a kind whose times can be read, with their starts and ends in ns, and kinds."""
        events = [batch.events[i] for i in rows]
        start, known = exact_ns([e.ts for e in events], lambda: _raw(batch, rows, "ts"))
        length, timed = exact_ns([e.dur for e in events], lambda: _raw(batch, rows, "dur"))
        good = self._check(batch, rows, kind, start, length, known & timed)
        kinds = _KIND[codes[rows]]
        if good.all():
            return events, start, start + length, kinds
        keep = np.flatnonzero(good)
        return (
            [events[i] for i in keep.tolist()],
            start[keep],
            start[keep] + length[keep],
            kinds[keep],
        )

    def _check(
        self, batch: Batch, rows: list[int], kind: str, start: Int64, length: Int64, known: Bool
    ) -> Bool:
        """Return which times can be true; count the others."""
        low, high = int(start.min()), int(start.max())
        if (
            known.all() and length.min() >= 0 and length.max() <= LONGEST_NS[kind] and self._around - FAR_NS <= low
            and high <= self._around + FAR_NS and (low > 0 or high < ZERO_BELOW_NS)
        ):  # fmt: skip
            self._around = int(start[start.size // 2])
            return known
        self._around = _typical_ns(batch.events, self._around)
        far = np.abs(start - self._around)
        checks = (
            ("whose times are no numbers", known),
            ("that end before they start", length >= 0),
            ("that last absurdly long", length <= LONGEST_NS[kind]),
            ("with a time of zero", (start != 0) | (far < ZERO_BELOW_NS)),
            ("far from all others in time", far <= FAR_NS),
        )
        good = np.ones(start.size, np.bool_)
        for what, passed in checks:
            bad = np.flatnonzero(good & ~passed)
            if bad.size:
                place = batch.place(rows[int(bad[0])])
                self.damage.dropped(f"{kind} {what} were left out", place, kind, bad.size)
                good[bad] = False
        return good

    def _add_ranges(self, batch: Batch, rows: list[int], codes: NDArray[np.uint8]) -> None:
        events, start, end, kind = self._times(batch, rows, codes, "ranges")
        step = np.full(len(events), -1, np.int32)
        if self.own:
            step[:] = [self._int(batch, (e.args or _NO_ARGS).step, -1) for e in events]
        thread = self._threads(events)
        self.tables[Ranges].append(
            Ranges.of(
                start=start, end=end, thread=thread, name=self._names(events), kind=kind, step=step
            )
        )

    def _add_calls(self, batch: Batch, rows: list[int], codes: NDArray[np.uint8]) -> None:
        events, start, end, _ = self._times(batch, rows, codes, "calls")
        correlation = self._ints(batch, [(e.args or _NO_ARGS).correlation for e in events])
        thread = self._threads(events)
        self.tables[Calls].append(
            Calls.of(
                start=start,
                end=end,
                thread=thread,
                name=self._names(events),
                correlation=correlation,
            )
        )

    def _add_operations(self, batch: Batch, rows: list[int], codes: NDArray[np.uint8]) -> None:
        events, start, end, kind = self._times(batch, rows, codes, "operations")
        self.operation_blocks.append((len(events), batch.offset))
        args = [e.args or _NO_ARGS for e in events]
        pairs = list(zip(events, args, strict=True))
        gpus = [
            (
                str(e.pid),
                self._int(batch, e.pid if a.device is None else a.device, -1),
                _text(a.process),
            )
            for e, a in pairs
        ]
        self.tables[Operations].append(
            Operations.of(
                start=start,
                end=end,
                kind=kind,
                device=self.gpus.codes(gpus),
                stream=self.streams.codes(
                    str(e.tid if a.stream is None else a.stream) for e, a in pairs
                ),
                name=self._names(events),
                correlation=self._ints(batch, [a.correlation for a in args]),
                step=[self._int(batch, a.step, -1) for a in args]
                if self.own
                else np.full(len(args), -1),
                bytes=self._ints(batch, [a.bytes for a in args]),
                flops=[_float(a.flops) for a in args] if self.own else np.zeros(len(args)),
            )
        )

    def _add_others(self, batch: Batch, rows: list[int]) -> None:
        """Add counters and the names of threads."""
        for i in rows:
            e = batch.events[i]
            if e.args is None:
                continue
            if e.ph == "M" and e.name == "thread_name":
                self.thread_names[str(e.pid), str(e.tid)] = str(e.args.name)
            elif (e.ph == "C" or (self.own and e.ph == "i")) and e.args.value is not None:
                time, known = exact_ns([e.ts], partial(_raw, batch, [i], "ts"))
                if known.all():
                    sample = Counters.of(
                        time=time, name=self._names([e]), value=[_float(e.args.value)]
                    )
                    self.tables[Counters].append(sample)

    def _names(self, events: list[Event]) -> NDArray[np.int32]:
        code = self._name
        try:
            return np.array([code[e.name] for e in events], np.int32)
        except TypeError:  # a name that is a list or an object
            return np.array([code[str(e.name)] for e in events], np.int32)

    def _threads(self, events: list[Event]) -> NDArray[np.int32]:
        code = self._thread
        if self.own:
            tids = [
                e.tid if e.args is None or e.args.track is None else e.args.track for e in events
            ]
            return np.array(
                [code[str(e.pid), str(t)] for e, t in zip(events, tids, strict=True)], np.int32
            )
        try:
            pids, tids = [e.pid for e in events], [e.tid for e in events]
            if events and pids.count(pids[0]) == tids.count(tids[0]) == len(
                events
            ):  # as a rule, and faster
                return np.full(len(events), code[pids[0], tids[0]], np.int32)
            return np.array([code[key] for key in zip(pids, tids, strict=True)], np.int32)
        except TypeError:
            return np.array([code[str(e.pid), str(e.tid)] for e in events], np.int32)

    def _ints(self, batch: Batch, values: list[Any]) -> Int64:
        array = np.array(values) if all(type(v) is int for v in values) else None
        if array is not None and (array.dtype == np.int64 or not values):
            return array.astype(np.int64)
        return np.array([self._int(batch, v) for v in values], np.int64)

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
    """Codes by the value as it stands in the file; the key that an interner keeps is made once for each such value."""

    def __init__(self, interner: Interner[Any], key: Callable[[Any], Hashable]) -> None:
        super().__init__()
        self._interner = interner
        self._key = key

    def __missing__(self, value: Hashable) -> int:
        code = self[value] = self._interner.code(self._key(value))
        return code


def exact_ns(times: Sequence[Any], raw: Callable[[], Sequence[str]]) -> tuple[Int64, Bool]:
    """Return microseconds as int64 nanoseconds, exactly, and which of them are numbers at all (others are 0).

    `times` holds ints, floats, text or None. Where a float is too large to be exact, `raw()` gives the text of every
    value.
    """
    good = np.ones(len(times), np.bool_)
    try:
        values = np.array(times, np.float64)
    except (ValueError, TypeError, OverflowError):
        values = np.full(len(times), np.nan)
    if (np.abs(values) < EXACT_BELOW_US).all():  # no NaN among them either
        whole = np.floor(values)
        return (whole * 1000).astype(np.int64) + np.rint((values - whole) * 1000).astype(
            np.int64
        ), good
    if all(type(t) is int for t in times) and (np.abs(values) < INT64_US).all():
        return np.array(times, np.int64) * 1000, good
    exact = [_text_ns(t) for t in raw()]
    good = np.array([t is not None for t in exact], np.bool_)
    return np.array([t or 0 for t in exact], np.int64), good


def _text_ns(text: str) -> int | None:
    try:
        ns = int((Decimal(text.strip('" ')) * 1000).to_integral_value())
    except (InvalidOperation, OverflowError, ValueError):
        return None
    return ns if ns in _INT64 else None


def _typical_ns(events: list[Event], otherwise: int) -> int:
    """Return the time about which most events of a batch lie."""
    times = [
        e.ts
        for e in events
        if e.ph == "X" and isinstance(e.ts, (int, float)) and abs(e.ts) < INT64_US
    ]
    return round(float(np.median(times)) * 1000) if times else otherwise


def _raw(batch: Batch, rows: list[int], which: str) -> list[str]:
    raw = batch.raw()
    return [bytes(getattr(raw[i], which)).decode() for i in rows]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _float(value: Any) -> float:
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return 0.0
