"""Read a Perfetto trace (`.pftrace`) of rocprofv3 or of torch.profiler into a Trace.

rocprofv3 tells its slices apart by their category (source/lib/output/generatePerfetto.cpp of
rocprofiler-sdk); torch.profiler's have the arguments of its JSON and no category
(torch/csrc/profiler/cupti/monitor_pftrace.cpp). What newer versions of the latter write as stages
of a GPU has no names of kernels that could be read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace.event_rows import EventRows, Span, integer
from idlescope.trace.gathered import Gathered
from idlescope.trace.kineto import categories
from idlescope.trace.model import Calls, OperationKind, Operations, RangeKind, Trace
from idlescope.trace.names import rocm
from idlescope.trace.names.operators import range_text
from idlescope.trace.perfetto.packets import (
    MOST_SLICES,
    Packets,
    Slice,
    Stage,
    TooManySlicesError,
    Track,
)
from idlescope.trace.protobuf import MalformedError

# Categories of rocprofv3 (rocprofiler-sdk/cxx/perfetto.hpp).
KERNEL, COPY = "kernel_dispatch", "memory_copy"
CALLS = ("hip_api", "hsa_api")
NOT_HOST_WORK = ("memory_allocation", "counter_collection", "kfd_events")

# Of rocprofv3's tracks, as in "COMPUTE AGENT [4] STREAM [1] (GPU)".
AGENT = re.compile(
    r"\[(\d{1,9})\] (STREAM|QUEUE|THREAD) \[(\d{1,18})\]\s*\(?(GPU|CPU|UNK)?"
)
LAST_NUMBER = re.compile(r"(\d{1,9})\D*$")
FRAME = re.compile(r"\.py\(\d+\): |^<built-in |^nn\.Module: ")
STREAM_TRACK = re.compile(r"^stream -?\d")
OVERHEAD_PID = -1  # of torch's track for the profiler's own work

RECORD_OTHERWISE = (
    "give the file that its profiler writes itself: torch.profiler's .json, rocprofv3's .db "
    "(`--output-format rocpd`), Nsight Systems' .nsys-rep"
)
STAGES_UNNAMED = (
    "kernels have no names, since torch.profiler wrote them as stages of the GPU: export .json for "
    "names"
)


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of a Perfetto file.

    `progress` is called with the number of events read so far. Without `frames`, operators and
    Python frames are left out. Of a file that was cut off what is there is read.

    Raises TraceError for a file that is damaged, or has neither operations nor calls of a GPU.
    """
    gathered = Gathered(progress)
    packets = Packets(gathered.damage)
    try:
        content = path.read_bytes()
        packets.read(content)
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    except TooManySlicesError as error:
        raise TraceError(
            f"{path} holds over {MOST_SLICES:,} slices, more than can be read at once: record "
            f"fewer steps, or {RECORD_OTHERWISE}"
        ) from error
    except MalformedError as error:
        raise TraceError(
            f"{path} is no whole Perfetto trace ({error}): copy it again, or {RECORD_OTHERWISE}"
        ) from error
    meaning = _Meaning(EventRows(gathered, frames), packets)
    for made in packets.slices:
        meaning.add(made)
    for stage in packets.stages:
        meaning.add_stage(stage)
    if packets.stages:
        gathered.notes.append(STAGES_UNNAMED)
    meaning.rows.finish("slice")
    if packets.walk.cut:
        gathered.damage.cut("the file ends within a packet", f"byte {len(content):,}")
    if not gathered.count(Operations) and not gathered.count(Calls):
        raise TraceError(
            f"{path} is a Perfetto trace without operations or calls of a GPU that are known here: "
            f"{RECORD_OTHERWISE}"
        )
    return gathered.trace(meaning.format_name, path)


class _Meaning:
    """Sorts the slices of a trace into tables."""

    def __init__(self, rows: EventRows, packets: Packets) -> None:
        self.rows = rows
        self.format_name = "perfetto"
        self._tracks = packets.tracks
        self._process = _only_process(packets)

    def add(self, made: Slice) -> None:
        """Add a slice; one that was never closed is counted."""
        track = self._tracks.get(made.track, Track())
        arguments = made.arguments
        start = integer(arguments.get("begin_ns"), made.start)
        end = made.end if "end_ns" not in arguments else integer(arguments["end_ns"])
        if end is None:
            place = track.name or f"track {made.track}"
            damage = self.rows.gathered.damage
            damage.dropped("slices without an end were left out", place, "unknown")
            return
        span = Span(made.name, start, end)
        if made.category in (KERNEL, COPY, *CALLS) or "corr_id" in arguments:
            self._add_rocprof(made, span, track)
        else:
            self._add_torch(made, span, track)

    def add_stage(self, stage: Stage) -> None:
        """Add an operation that torch.profiler wrote as a stage of a GPU."""
        kind = OperationKind.KERNEL
        if stage.kind.startswith("Memcpy"):
            kind = OperationKind.MEMCPY
        elif stage.kind.startswith("Memset"):
            kind = OperationKind.MEMSET
        self.format_name = "kineto"
        self.rows.operation(
            Span(stage.kind, stage.start, stage.end),
            kind,
            (self._process, _device_number(stage.gpu)),
            stage.queue,
            integer(stage.arguments.get("correlation"), stage.identity),
            integer(stage.arguments.get("bytes")),
        )

    def _add_rocprof(self, made: Slice, span: Span, track: Track) -> None:
        self.format_name = "rocprof"
        arguments = made.arguments
        correlation = integer(arguments.get("corr_id"))
        thread = (self._process, f"{self._process}:{integer(arguments.get('tid'))}")
        if made.category == KERNEL:
            name = rocm.kernel_name(span.name)
            device, stream = _place(track, "")
            key = (self._process, device)
            self.rows.operation(
                span._replace(name=name), rocm.kernel_kind(name), key, stream, correlation
            )
        elif made.category == COPY:
            device, stream = _place(track, str(arguments.get("src_agent", "")))
            self.rows.operation(
                span._replace(name=rocm.copy_name(span.name)),
                OperationKind.MEMCPY,
                (self._process, device),
                stream,
                correlation,
                integer(arguments.get("copy_bytes")),
            )
        elif made.category in CALLS:
            self.rows.call(span, thread, correlation)
        elif made.category not in NOT_HOST_WORK:
            text = range_text(span.name)
            kind = RangeKind.OPERATOR if text.is_operator else RangeKind.ANNOTATION
            self.rows.range(span._replace(name=text.text), thread, kind)

    def _add_torch(self, made: Slice, span: Span, track: Track) -> None:
        arguments = made.arguments
        correlation = integer(arguments.get("correlation"))
        operation = categories.OPERATIONS.get(made.category) or _torch_kind(made)
        thread = (self._process, track.name or f"{track.pid}:{track.tid}")
        if operation is not None:
            self.format_name = "kineto"
            self.rows.operation(
                span._replace(name=_torch_name(made, operation)),
                operation,
                (self._process, _device_number(integer(arguments.get("device")))),
                f"{integer(arguments.get('stream'))}",
                correlation,
                integer(arguments.get("bytes")),
            )
        elif "cuda_sync_kind" in arguments or STREAM_TRACK.match(track.name):
            return  # of a device: a wait, or an annotation around what runs
        elif "cbid" in arguments or made.category in categories.CALLS:
            self.format_name = "kineto"
            self.rows.call(span, thread, correlation)
        else:
            self.rows.range(span, thread, _torch_range(made, track))


def _only_process(packets: Packets) -> str:
    """Return what the process is called: the pid that most tracks of host threads have."""
    pids = [
        track.pid
        for track in packets.tracks.values()
        if track.pid > 0 and not STREAM_TRACK.match(track.name)
    ]
    return str(max(set(pids), key=pids.count)) if pids else "unknown process"


def _place(track: Track, source_agent: str) -> tuple[int, str]:
    """Return the number of the device and the stream that a track of rocprofv3 is of.

    A copy to the host is on the track of the host; it is of the GPU that it comes from.
    """
    place = AGENT.search(track.name)
    if place is None:
        return 0, track.name or "stream"
    stream = f"{place[2].lower()} {place[3]}"
    from_agent = LAST_NUMBER.search(source_agent)
    if place[4] == "CPU" and from_agent is not None:
        return int(from_agent[1]), stream
    return int(place[1]), stream


def _torch_kind(made: Slice) -> OperationKind | None:
    """Return what a slice of torch's ran as on a device; None for what did not."""
    arguments = made.arguments
    if "stream" not in arguments or "device" not in arguments:
        return None
    if made.name.startswith("Memcpy"):
        return OperationKind.MEMCPY
    if made.name.startswith("Memset"):
        return OperationKind.MEMSET
    return OperationKind.KERNEL if "grid" in arguments else None


def _torch_name(made: Slice, kind: OperationKind) -> str:
    """Return a name as Kineto's JSON has it: the kinds of a copy stand in its arguments."""
    arguments = made.arguments
    if kind != OperationKind.MEMCPY or "copy kind" not in arguments:
        return made.name
    sides = [
        str(arguments.get(side, "?")).capitalize() for side in ("src kind", "dst kind")
    ]
    return f"Memcpy {arguments['copy kind']} ({' -> '.join(sides)})"


def _torch_range(made: Slice, track: Track) -> RangeKind:
    if made.category in categories.RANGES:
        return categories.RANGES[made.category]
    if track.pid == OVERHEAD_PID:
        return RangeKind.OVERHEAD
    if FRAME.search(made.name):
        return RangeKind.FRAME
    is_operator = range_text(made.name).is_operator or "Sequence number" in made.arguments
    return RangeKind.OPERATOR if is_operator else RangeKind.ANNOTATION


def _device_number(number: int) -> int:
    return max(0, min(number, 2**31 - 1))
