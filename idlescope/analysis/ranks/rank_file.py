"""What one file of a folder of ranks gives: plain values and columns, which go between processes.

As bytes it is a head of JSON, then the columns as they are: nothing in it can run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from struct import Struct
from typing import Any

import msgspec
import numpy as np

from idlescope.analysis.document import DeviceEntry, HostEntry, StepEntry
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.ranks.rank import RankFigures, RankSummary
from idlescope.analysis.ranks.timeline import CallKey, CollectiveCalls, RankTimeline
from idlescope.trace.model import Device
from idlescope.trace.ranks_recordings import RecordedFile
from idlescope.trace.table import Int64

HEAD_LENGTH = Struct("<qq")  # bytes of the head, and of the columns
_CALLS = len(fields(CollectiveCalls))
_SPANS = ("covered", "computing", "idle", "host_idle")


class RankBytesError(ValueError):
    """What came is no file of a rank."""


class RankOptions(msgspec.Struct, frozen=True):
    """How each file is analysed: options of `open_trace` and `analyze`."""

    window: str
    min_gap_ns: int
    frames: bool
    phases: dict[str, tuple[tuple[str, str], ...]] | None = None
    step_ms: float | None = None


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
        windows = [device.window for device in self.devices]
        known = self.epoch_ns is not None and bool(windows)
        epoch_ns = self.epoch_ns or 0
        return RecordedFile(
            file=self.file,
            distributed=self.distributed,
            events=self.events,
            start_ns=epoch_ns + min(one.start_ns for one in windows) if known else None,
            end_ns=epoch_ns + max(one.end_ns for one in windows) if known else None,
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


_decoder = msgspec.json.Decoder(_Head)


def packed(file: RankFile) -> Iterator[bytes]:
    """Yield the bytes of a file's analysis."""
    columns = [column for rank in file.ranks for column in _columns(rank.times)]
    shared = {
        name: getattr(file, name) for name in RankFile.__struct_fields__ if name != "ranks"
    }
    head = _Head(
        **shared,
        figures=[_figures(rank) for rank in file.ranks],
        keys=[rank.times.keys for rank in file.ranks],
        rows=[_rows(rank.times) for rank in file.ranks],
    )
    yield from _with_head(head, sum(column.nbytes for column in columns))
    for column in columns:
        yield column.tobytes()


def packed_error(error: str) -> Iterator[bytes]:
    """Yield the bytes of the error that a file ended in."""
    yield from _with_head(_Head(error=error), 0)


def unpacked(head_bytes: bytes, columns: bytes) -> RankFile | str:
    """Return the analysis in some bytes, or the error in it. Raises RankBytesError for others."""
    try:
        head = _decoder.decode(head_bytes)
        if head.error:
            return head.error
        shared = {
            name: getattr(head, name)
            for name in RankFile.__struct_fields__
            if name != "ranks"
        }
        return RankFile(**shared, ranks=_ranks(head, columns))
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
    return RankFigures(**{one.name: getattr(rank, one.name) for one in fields(RankFigures)})


def _columns(times: RankTimeline) -> list[Int64]:
    calls = [getattr(times.calls, one.name) for one in fields(CollectiveCalls)]
    spans = [column for name in _SPANS for column in getattr(times, name)]
    return [np.ascontiguousarray(column, np.int64) for column in (*calls, *spans)]


def _rows(times: RankTimeline) -> list[int]:
    return [len(times.calls), *(getattr(times, name).start.size for name in _SPANS)]


def _ranks(head: _Head, columns: bytes) -> list[RankSummary]:
    ranks, position = [], 0
    for figures, keys, rows in zip(head.figures, head.keys, head.rows, strict=True):
        call_count, *span_counts = rows
        start_and_end = [count for count in span_counts for _ in range(2)]
        arrays: list[Int64] = []
        for count in [call_count] * _CALLS + start_and_end:
            column = np.frombuffer(columns, np.int64, count, position)
            arrays.append(column)
            position += column.nbytes
        times = _timeline(keys, arrays)
        ranks.append(RankSummary(**vars(figures), times=times))
    return ranks


def _timeline(keys: tuple[CallKey, ...], arrays: Sequence[Int64]) -> RankTimeline:
    calls = CollectiveCalls(*arrays[:_CALLS])
    pairs = zip(arrays[_CALLS::2], arrays[_CALLS + 1 :: 2], strict=True)
    return RankTimeline(calls, keys, *(Intervals(start, end) for start, end in pairs))
