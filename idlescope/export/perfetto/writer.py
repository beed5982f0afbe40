"""Write a Trace as Chrome JSON that opens in Perfetto and reads back into the same Trace.

The vocabulary is Kineto's, so that the file is also an ordinary torch.profiler trace to other
tools: one track for each stream and thread, launch calls nested in the phase that made them,
arrows from each launch to what it launched. Times are exact: whole nanoseconds, written as decimal
microseconds. What Kineto has no word for stands where other tools do not look:

- `args.track`, of a range or a call on an extra track: the tid of its thread (tracks.py says which
  ones are extra). An operation's stream is `args.stream`, on whatever track it lies.
- `args.process`, of an operation, where the trace holds several processes: the pid of the process
  that launched it, within which correlation ids are unique. Entries of `deviceProperties` have
  `process` then, too.
- Counters of requests (own_engine.OF_REQUESTS) are instants in a process of their own;
  `args.value` is the request's id.
- `idlescope.process_names`: the name of each pid, where it is more than the number.
- Events of the category `idlescope`, and arrows of categories that begin so: what was found in the
  records, and where their steps go (derived.py, arrows.py). Read back, they are nothing.
- `idlescope.time_offset_ns`: what was taken from all times, because Perfetto cannot show negative
  ones and a float64 cannot hold large ones to the nanosecond.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, cast

import numpy as np

from idlescope.analysis.result import DeviceResult
from idlescope.export.perfetto import derived
from idlescope.export.perfetto.header import header
from idlescope.export.perfetto.layout import Layout
from idlescope.export.perfetto.record_events import record_events
from idlescope.export.perfetto.times import extent
from idlescope.trace.model import Trace
from idlescope.trace.unseen import escaped

EVENTS_WRITTEN = 4096  # events that are joined before they are compressed
FILE_LEVEL, PACKED_LEVEL = 4, 9  # of gzip: quick for files, small for what stands in a page


def write(trace: Trace, path: Path, results: Sequence[DeviceResult] = ()) -> None:
    """Write a Chrome JSON trace, gzipped where the name ends in .gz. Equal traces: equal files.

    Given the results of an analysis of the trace, what it found is written, too (derived.py).
    """
    with path.open("wb") as trace_file:
        _write(trace, results, trace_file, FILE_LEVEL if path.suffix == ".gz" else 0)


def packed(trace: Trace, results: Sequence[DeviceResult] = ()) -> bytes:
    """Return what `write` writes, gzipped as small as it goes.

    The trace may be a piece of the one that the results are of: what lies beyond it is left out.
    """
    buffer = io.BytesIO()
    _write(trace, results, buffer, PACKED_LEVEL)
    return buffer.getvalue()


def left_out(trace: Trace) -> list[str]:
    """Return one sentence for each kind of record that has no place in a Chrome JSON file."""
    not_finite = int((~np.isfinite(trace.counters.value)).sum())
    if not not_finite:
        return []
    return [f"counters that are no numbers have no place in JSON: {not_finite:,} left out"]


def _write(
    trace: Trace, results: Sequence[DeviceResult], out: IO[bytes], gzip_level: int
) -> None:
    layout = Layout(trace)
    with ExitStack() as open_files:
        if gzip_level:
            # without name and time of the file: equal traces are equal bytes
            zipped = gzip.GzipFile("", "wb", gzip_level, out, mtime=0)
            out = cast("IO[bytes]", open_files.enter_context(zipped))
        out.write(_opening(layout))
        out.write(b',\n"traceEvents": [\n')
        events, separator = _events(layout, results), ""
        while event_batch := list(islice(events, EVENTS_WRITTEN)):
            out.write((separator + ",\n".join(event_batch)).encode())
            separator = ",\n"
        out.write(b"\n]}\n")


def _opening(layout: Layout) -> bytes:
    """Return the document without its events and its end."""
    opening = json.dumps(header(layout), ensure_ascii=False, allow_nan=False)
    opening = opening.removesuffix("}").encode("utf-8", "replace").decode()
    return escaped(opening).encode()


def _events(layout: Layout, results: Sequence[DeviceResult]) -> Iterator[str]:
    """Yield every event: the records', then what was found in them."""
    yield from record_events(layout)
    trace = layout.trace
    trace_span = extent(trace)
    for result in results:
        device = trace.devices.index(result.device)
        stream_tids = (track.tid for track in layout.device_tracks[device].tracks)
        behind_streams = max(stream_tids, default=0) + 1
        derived_place = derived.Place(
            layout.device_pid(device), behind_streams, trace_span, layout.offset
        )
        yield from derived.events(trace, result, derived_place)
