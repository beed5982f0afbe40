"""Read forward-pass metrics of NVIDIA Dynamo (`dynamo.fpm.trace.v1`) into a Trace without a device.

A line has one forward pass: its `wall_time` (s), what was scheduled, and when it was observed, in
whole milliseconds (docs.nvidia.com/dynamo, "Forward Pass Metrics Trace Reference"). A pass becomes
a step that ended then. What a GPU did is not in it.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from idlescope.errors import TraceError
from idlescope.trace.event_rows import EventRows, Span
from idlescope.trace.gathered import Gathered
from idlescope.trace.model import Counters, RangeKind, Trace

PASS = "dynamo:forward_pass"  # noqa: S105 - the name of a range
NS_PER_MS, NS_PER_S = 1_000_000, 1_000_000_000
LONGEST_PASS_S = 3600.0
LARGEST_MS = 2**42  # the year 2109
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 1 << 16  # bytes; a pass takes under 1 kB, and what is longer is none
ADVICE = "let the worker end, which closes its files, and copy them again"
NO_DEVICE = (
    "forward-pass metrics have the wall time of steps, to the millisecond, and not what a GPU did: "
    "capture a window with `idlescope capture` for idle time"
)
SAMPLED = (
    "only some steps were written (DYN_FPM_MODE=sampled): set DYN_FPM_MODE=full for all"
)

Count = Annotated[int, Meta(ge=0, le=2**53)]


class Requests(Struct):
    """How many requests and tokens there were."""

    num_prefill_requests: Count = 0
    sum_prefill_tokens: Count = 0
    num_decode_requests: Count = 0


class ForwardPass(Struct):
    """The metrics of one pass."""

    worker_id: str = ""
    dp_rank: Count = 0
    counter_id: Count = 0
    wall_time: float = 0.0
    scheduled_requests: Requests = msgspec.field(default_factory=Requests)
    queued_requests: Requests = msgspec.field(default_factory=Requests)


class Record(Struct):
    """What a worker wrote of one pass."""

    schema: str
    observed_at_unix_ms: Annotated[int, Meta(ge=0, le=LARGEST_MS)]
    fpm: ForwardPass
    capture_mode: str = ""


class Line(Struct):
    """One line of a file."""

    event: Record


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of a file, `.jsonl` or `.jsonl.gz`; lines that cannot be read are counted.

    Times are relative to the earliest pass, which `Metadata.session_start_ns` gives. `progress` is
    called with the number of passes read so far.

    Raises TraceError for a file that holds no pass.
    """
    gathered = Gathered(progress)
    records = list(_records(path, gathered))
    # a heartbeat of an idle worker is no pass
    passes = [record for record in records if record.fpm.wall_time > 0]
    if not passes:
        raise TraceError(f"{path} holds no forward passes that can be read: {ADVICE}")
    base = min(record.observed_at_unix_ms for record in passes) * NS_PER_MS
    base -= round(max(record.fpm.wall_time for record in passes) * NS_PER_S)
    rows = EventRows(gathered, frames)
    for record in passes:
        metrics = record.fpm
        end = record.observed_at_unix_ms * NS_PER_MS - base
        start = end - round(metrics.wall_time * NS_PER_S)
        thread = (metrics.worker_id or "worker", f"rank {metrics.dp_rank}")
        span = Span(PASS, start, end)
        rows.range(span, thread, RangeKind.ANNOTATION, metrics.counter_id)
    rows.finish("pass")
    gathered.counters.append(_counters(gathered, passes, base))
    gathered.notes.append(NO_DEVICE)
    if any(record.capture_mode == "sampled" for record in passes):
        gathered.notes.append(SAMPLED)
    return gathered.trace("dynamo", path, session_start_ns=base)


def _records(path: Path, gathered: Gathered) -> Iterator[Record]:
    decode = msgspec.json.Decoder(Line).decode
    for line_number, line in enumerate(_lines(path, gathered), 1):
        if not line.strip():
            continue
        try:
            record = decode(line).event
        except (ValueError, RecursionError):
            record = None
        if record is None or not _is_sound(record.fpm.wall_time):
            gathered.damage.dropped(
                "lines that cannot be read were left out", f"line {line_number:,}", "ranges"
            )
        else:
            yield record


def _is_sound(wall_time: float) -> bool:
    return math.isfinite(wall_time) and 0 <= wall_time < LONGEST_PASS_S


def _lines(path: Path, gathered: Gathered) -> Iterator[bytes]:
    """Yield the lines of a file; what follows damage of gzip data is left out."""
    try:
        with path.open("rb") as raw_file:
            is_packed = raw_file.read(2) == GZIP_MAGIC
        with gzip.open(path) if is_packed else path.open("rb") as lines:
            while line := lines.readline(LONGEST_LINE):
                yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        gathered.damage.cut(f"its gzip data breaks ({error})", "its end")
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error


def _counters(gathered: Gathered, passes: list[Record], base: int) -> Counters:
    """Return requests and tokens of each pass over time."""
    times, names, values = [], [], []
    for record in passes:
        scheduled, queued = record.fpm.scheduled_requests, record.fpm.queued_requests
        said = {
            "decode requests": scheduled.num_decode_requests,
            "prefill requests": scheduled.num_prefill_requests,
            "prefill tokens": scheduled.sum_prefill_tokens,
            "queued requests": queued.num_prefill_requests + queued.num_decode_requests,
        }
        for name, value in said.items():
            times.append(record.observed_at_unix_ms * NS_PER_MS - base)
            names.append(gathered.names.code(name))
            values.append(value)
    return Counters.of(
        time=times, name=np.array(names, np.int32), value=np.array(values, np.float64)
    )
