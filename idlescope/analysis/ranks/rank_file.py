"""What one file of a folder of ranks gives: plain values and columns, which go between processes.

As bytes it is a head of JSON, then the columns as they are: nothing in it can run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
import numpy as np

from idlescope.analysis.document import DeviceEntry, HostEntry, StepEntry
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.ranks.asked import HEAD_LENGTH, RankBytesError
from idlescope.analysis.ranks.rank import RankFigures, RankSummary
from idlescope.analysis.ranks.timeline import CallKey, CollectiveCalls, RankTimeline
from idlescope.trace.model import Device
from idlescope.trace.ranks_recordings import RecordedFile
from idlescope.trace.table import Int64

_CALLS = len(CollectiveCalls.__struct_fields__)
_SPANS = ("covered", "computing", "idle", "host_idle")


class RankFile(msgspec.Struct):
    """One file's analysis."""

    file: str
    format: str
    events: int
    engine: str
    epoch_ns: int | None  # what its time 0 stands for, since 1970
    distributed: dict[str, Any]
    warnings: list[str]
    gpus: list[Device]  # of each of its devices
    devices: list[DeviceEntry]
    steps: list[StepEntry]
    phases: list[HostEntry]
    ranks: list[RankSummary]

    @property
    def recorded(self) -> RecordedFile:
        """Return what tells it from another recording of the same rank."""
        start_ns = end_ns = None
        if self.epoch_ns is not None and self.devices:
            windows = [device.window for device in self.devices]
            start_ns = self.epoch_ns + min(window.start_ns for window in windows)
            end_ns = self.epoch_ns + max(window.end_ns for window in windows)
        return RecordedFile(
            file=self.file,
            distributed=self.distributed,
            events=self.events,
            start_ns=start_ns,
            end_ns=end_ns,
        )


class _Head(msgspec.Struct):
    """A RankFile without its columns, or why there is none."""

    error: str = ""
    file: str = ""
    format: str = ""
    events: int = 0
    engine: str = ""
    epoch_ns: int | None = None
    distributed: dict[str, Any] = {}
    warnings: list[str] = []
    gpus: list[Device] = []
    devices: list[DeviceEntry] = []
    steps: list[StepEntry] = []
    phases: list[HostEntry] = []
    figures: list[RankFigures] = []
    keys: list[tuple[CallKey, ...]] = []
    rows: list[list[int]] = []  # of each rank: of its calls, then of each of _SPANS


@cache
def _decoder() -> msgspec.json.Decoder[_Head]:
    """Return what reads a head: made while the processes that send one are at work, in 4 ms."""
    return msgspec.json.Decoder(_Head)


def packed(file: RankFile) -> Iterator[bytes]:
    """Yield the bytes of a file's analysis."""
    columns = [column for rank in file.ranks for column in _columns(rank.times)]
    columns_bytes = sum(column.nbytes for column in columns)
    head = _Head(
        **_without_ranks(file),
        figures=[_figures(rank) for rank in file.ranks],
        keys=[rank.times.keys for rank in file.ranks],
        rows=[_rows(rank.times) for rank in file.ranks],
    )
    yield from _with_head(head, columns_bytes)
    for column in columns:
        yield column.tobytes()


def _without_ranks(file: RankFile | _Head) -> dict[str, Any]:
    """Return the fields that a file's analysis and a head have in common."""
    common = [name for name in RankFile.__struct_fields__ if name != "ranks"]
    return {name: getattr(file, name) for name in common}


def packed_error(error: str) -> Iterator[bytes]:
    """Yield the bytes of the error that a file ended in."""
    yield from _with_head(_Head(error=error), 0)


def unpacked(head_bytes: bytes, columns: bytes) -> RankFile | str:
    """Return the analysis in some bytes, or the error in it. Raises RankBytesError for others."""
    try:
        head = _decoder().decode(head_bytes)
        if head.error:
            return head.error
        return RankFile(**_without_ranks(head), ranks=_ranks(head, columns))
    except (msgspec.MsgspecError, ValueError) as error:
        raise RankBytesError(f"{type(error).__name__}: {error}") from error


def unpacked_whole(text: bytes) -> RankFile | str:
    """Return the analysis in the bytes of `packed`, or the error in it.

    Raises RankBytesError for bytes that are not whole.
    """
    if len(text) < HEAD_LENGTH.size:
        raise RankBytesError("there is no head")
    head_length, columns_length = HEAD_LENGTH.unpack_from(text)
    columns_start = HEAD_LENGTH.size + head_length
    head, columns = text[HEAD_LENGTH.size : columns_start], text[columns_start:]
    if len(columns) != columns_length:
        raise RankBytesError("columns are missing")
    return unpacked(head, columns)


def _with_head(head: _Head, columns_bytes: int) -> Iterator[bytes]:
    head_text = msgspec.json.encode(head)
    yield HEAD_LENGTH.pack(len(head_text), columns_bytes)
    yield head_text


def _figures(rank: RankSummary) -> RankFigures:
    return RankFigures(*(getattr(rank, name) for name in RankFigures.__struct_fields__))


def _columns(times: RankTimeline) -> list[Int64]:
    calls = msgspec.structs.astuple(times.calls)
    spans = [column for name in _SPANS for column in getattr(times, name)]
    return [np.ascontiguousarray(column, np.int64) for column in (*calls, *spans)]


def _rows(times: RankTimeline) -> list[int]:
    return [len(times.calls), *(getattr(times, name).start.size for name in _SPANS)]


def _ranks(head: _Head, columns: bytes) -> list[RankSummary]:
    ranks, position = [], 0
    for figures, keys, rows in zip(head.figures, head.keys, head.rows, strict=True):
        arrays = []
        for count in _lengths(rows):
            column = np.frombuffer(columns, np.int64, count, position)
            arrays.append(column)
            position += column.nbytes
        times = _timeline(keys, arrays)
        ranks.append(RankSummary(**msgspec.structs.asdict(figures), times=times))
    return ranks


def _lengths(rows: Sequence[int]) -> list[int]:
    """Return the lengths of a rank's columns, from how many calls and spans it has."""
    calls, *spans = rows
    starts_and_ends = np.repeat(spans, 2).tolist()
    return [calls] * _CALLS + starts_and_ends


def _timeline(keys: tuple[CallKey, ...], arrays: Sequence[Int64]) -> RankTimeline:
    calls = CollectiveCalls(*arrays[:_CALLS])
    pairs = zip(arrays[_CALLS::2], arrays[_CALLS + 1 :: 2], strict=True)
    return RankTimeline(calls, keys, *(Intervals(start, end) for start, end in pairs))
