"""The formats that can be read: to add one, write its folder and put its record into FORMATS."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idlescope.errors import TraceError
from idlescope.plain_files import NotPlainError, plain_size
from idlescope.trace import other_tools
from idlescope.trace.ascend import recognise as ascend
from idlescope.trace.containers.recognise import Packing, packing_of, unpacked_head
from idlescope.trace.dynamo import recognise as dynamo
from idlescope.trace.model import Trace
from idlescope.trace.nsys import recognise as nsys
from idlescope.trace.perfetto import recognise as perfetto
from idlescope.trace.rocprof import recognise as rocprof
from idlescope.trace.rpd import recognise as rpd
from idlescope.trace.sqlite.recognise import SQLITE_MAGIC
from idlescope.trace.xla import recognise as xla

if TYPE_CHECKING:
    from idlescope.trace.scrub.counts import Scrubbed

HEAD = 1 << 16  # bytes of a file that `Format.recognises` is given
KINETO_ADVICE = "torch.profiler with ProfilerActivity.CPU and ProfilerActivity.CUDA"
NSYS_ADVICE = "nsys profile --trace=cuda,nvtx"
XLA_ADVICE = "jax.profiler.trace(FOLDER)"
ROCPROF_ADVICE = "rocprofv3 --runtime-trace"

Progress = Callable[[int], None]

PACKED_SUFFIXES = (
    ".zst",
    ".xz",
    ".bz2",
    ".zip",
    ".tar",
    ".tar.gz",
    ".tgz",
    ".rpd.gz",
    ".db.gz",
)


@dataclass(frozen=True)
class Format:
    """One format of traces: how it is told from others, read, scrubbed and recorded."""

    # as in `Trace.meta.format`; forms of one trace, such as a report and its export, share a name
    name: str
    title: str  # what messages call such a trace
    # whether a path holds the format; given the first HEAD bytes of a file, unpacked where it is
    # a gzip file, and none of a folder
    recognises: Callable[[Path, bytes], bool]
    # path, progress, frames (see `open_trace`) -> Trace; raises TraceError
    read: Callable[[Path, Progress | None, bool], Trace]
    # source, target, what was removed (filled in), progress; raises TraceError
    scrub: Callable[[Path, Path, Scrubbed, Progress | None], None]
    how_to_record: str  # with which tool and options device operations are recorded
    # of its files in a folder of ranks; none: it is a folder
    suffixes: tuple[str, ...] = ()
    reads_gzip: bool = False  # itself, as it goes; files of others are unpacked first


@dataclass(frozen=True)
class _FunctionOf:
    """A function of a format's folder; its module is imported when it is first called."""

    module: str
    name: str

    def imported(self) -> Callable[..., Any]:
        """Return the function itself."""
        module = import_module(f"idlescope.trace.{self.module}")
        function: Callable[..., Any] = getattr(module, self.name)
        return function

    def __call__(self, *arguments: Any) -> Any:
        return self.imported()(*arguments)


def _refuse_scrub(title: str) -> Callable[[Path, Path, Scrubbed, Progress | None], None]:
    """Return what says that files of a format cannot be scrubbed, and what to do."""

    def refuse(source: Path, _target: Path, _result: Scrubbed, _progress: Any) -> None:
        raise TraceError(
            f"{source} is {title}, of which no scrubbed copy can be made: `idlescope convert` it "
            "to a torch.profiler trace, and scrub that"
        )

    return refuse


# The first that recognises a path reads it: Kineto takes whatever is left, and says what is wrong
# with it. Of several forms of one trace in a folder, the first here is read.
_PACKED = Format(
    name="packed",
    title="a packed file or an archive",
    recognises=lambda _path, head: packing_of(head) is not None,
    read=_FunctionOf("containers.reader", "read"),
    scrub=_FunctionOf("containers.reader", "refuse"),
    how_to_record=KINETO_ADVICE,
    suffixes=(
        ".zst",
        ".xz",
        ".bz2",
        ".zip",
        ".tar",
        ".tar.gz",
        ".tgz",
        ".rpd.gz",
        ".db.gz",
        ".pb.gz",
    ),
)
FORMATS: tuple[Format, ...] = (
    _PACKED,
    Format(
        name="recording",
        title="a recording, a folder",
        recognises=lambda path, _head: (path / "meta.json").is_file(),
        read=lambda path, _progress, _frames: _FunctionOf("recording.files", "read")(path),
        scrub=_FunctionOf("recording.scrub", "scrub"),
        how_to_record="idlescope run",
    ),
    Format(
        name="rpd",
        title="an RPD trace (rocmProfileData)",
        recognises=rpd.is_rpd,
        read=_FunctionOf("rpd.reader", "read"),
        scrub=_refuse_scrub("an RPD trace"),
        how_to_record="runTracer.sh (rocmProfileData)",
        suffixes=(".rpd",),
    ),
    Format(
        name="rocprof",
        title="a rocprofv3 result (rocpd)",
        recognises=rocprof.is_rocpd,
        read=_FunctionOf("rocprof.rocpd", "read"),
        scrub=_refuse_scrub("a rocprofv3 result"),
        how_to_record=ROCPROF_ADVICE,
        suffixes=("_results.db", ".db"),
    ),
    Format(
        name="rocprof",
        title="a rocprofv3 result (JSON)",
        recognises=rocprof.is_json,
        read=_FunctionOf("rocprof.json_file", "read"),
        scrub=_refuse_scrub("a rocprofv3 result"),
        how_to_record=ROCPROF_ADVICE,
        suffixes=("_results.json",),
    ),
    # Only for what rocprofv3 calls it, so that it is not read beside the same result in another
    # form; its content is that of any Perfetto trace.
    Format(
        name="rocprof",
        title="a rocprofv3 result (Perfetto)",
        recognises=lambda _path, _head: False,
        read=_FunctionOf("perfetto.reader", "read"),
        scrub=_refuse_scrub("a rocprofv3 result"),
        how_to_record=ROCPROF_ADVICE,
        suffixes=("_results.pftrace",),
    ),
    Format(
        name="nsys",
        title="an Nsight Systems export",
        recognises=lambda _path, head: head.startswith(SQLITE_MAGIC),
        read=_FunctionOf("nsys.reader", "read"),
        scrub=_FunctionOf("nsys.scrub", "scrub"),
        how_to_record=NSYS_ADVICE,
        suffixes=(".sqlite",),
    ),
    Format(
        name="nsys",
        title="a folder of Parquet files",
        recognises=lambda path, _head: nsys.is_parquet_export(path),
        read=_FunctionOf("nsys.reader", "read"),
        scrub=_FunctionOf("nsys.scrub", "scrub"),
        how_to_record=NSYS_ADVICE,
    ),
    Format(
        name="nsys",
        title="an Nsight Systems report",
        recognises=nsys.is_report,
        read=_FunctionOf("nsys.report_file", "open_report"),
        scrub=_FunctionOf("nsys.report_file", "scrub"),
        how_to_record=NSYS_ADVICE,
        suffixes=nsys.REPORT_SUFFIXES,
    ),
    Format(
        name="xla",
        title="a log folder of JAX's profiler",
        recognises=xla.is_log_folder,
        read=_FunctionOf("xla.log_folder", "read"),
        scrub=_refuse_scrub("a profile of XLA"),
        how_to_record=XLA_ADVICE,
    ),
    Format(
        name="xla",
        title="an XLA profile (xplane.pb)",
        recognises=xla.is_xplane,
        read=_FunctionOf("xla.xplane", "read"),
        scrub=_refuse_scrub("a profile of XLA"),
        how_to_record=XLA_ADVICE,
        suffixes=(".xplane.pb",),
    ),
    Format(
        name="xla",
        title="a trace of JAX's or TensorFlow's profiler (JSON)",
        recognises=xla.is_json,
        read=_FunctionOf("xla.trace_json", "read"),
        scrub=_refuse_scrub("a profile of XLA"),
        how_to_record=XLA_ADVICE,
        suffixes=(".trace.json.gz", ".trace.json"),
        reads_gzip=True,
    ),
    Format(
        name="perfetto",
        title="a Perfetto trace (protobuf)",
        recognises=perfetto.is_perfetto,
        read=_FunctionOf("perfetto.reader", "read"),
        scrub=_refuse_scrub("a Perfetto trace"),
        how_to_record=KINETO_ADVICE,
        suffixes=(".pftrace", ".perfetto-trace"),
    ),
    Format(
        name="ascend",
        title="a trace of Ascend's profiler",
        recognises=ascend.is_trace_view,
        read=_FunctionOf("ascend.reader", "read"),
        scrub=_refuse_scrub("a trace of Ascend's profiler"),
        how_to_record="torch_npu.profiler with ProfilerActivity.CPU and ProfilerActivity.NPU",
        reads_gzip=True,
        suffixes=("trace_view.json",),
    ),
    Format(
        name="dynamo",
        title="forward-pass metrics of NVIDIA Dynamo",
        recognises=dynamo.is_forward_passes,
        read=_FunctionOf("dynamo.reader", "read"),
        scrub=_refuse_scrub("a file of forward-pass metrics"),
        how_to_record="idlescope capture",
        reads_gzip=True,
        suffixes=(".jsonl", ".jsonl.gz"),
    ),
    Format(
        name="kineto",
        title="a torch.profiler trace",
        recognises=lambda path, _head: not path.is_dir(),
        read=_FunctionOf("kineto.reader", "read"),
        scrub=_FunctionOf("kineto.scrub", "scrub"),
        how_to_record=KINETO_ADVICE,
        suffixes=(".json", ".json.gz"),
        reads_gzip=True,
    ),
)


def suffixes() -> list[str]:
    """Return how names of traces end, of all formats."""
    return [suffix for trace_format in FORMATS for suffix in trace_format.suffixes]


def format_of(path: Path) -> Format | None:
    """Return the format of what lies at a path; None for a folder that is not one trace.

    Raises TraceError where nothing is there, or nothing that can be read, such as a file of another
    tool.
    """
    if path.is_dir():
        return _recognised(path, b"")
    file_head = _head(path)
    text_head = unpacked_head(path, file_head)
    if packing_of(text_head) is not None:
        return _PACKED
    found = _recognised(path, text_head)
    if found is None or found.name == "kineto":  # which takes what is left
        other_tools.refuse(path, text_head)
    is_gzip = packing_of(file_head) is Packing.GZIP
    return _PACKED if is_gzip and found and not found.reads_gzip else found


def import_reader(path: Path) -> None:
    """Import what reads a path, so that a copy of this process need not. Raises as `format_of`."""
    found = format_of(path)
    if found is not None and isinstance(found.read, _FunctionOf):
        found.read.imported()


def _recognised(path: Path, head: bytes) -> Format | None:
    """Return the first format that recognises a path; `head` is as for Format.recognises."""
    return next(
        (trace_format for trace_format in FORMATS if trace_format.recognises(path, head)),
        None,
    )


def how_to_record(name: str) -> str:
    """Return with which tool and options device operations come into traces of a format."""
    advice = (
        trace_format.how_to_record for trace_format in FORMATS if trace_format.name == name
    )
    return next(advice, KINETO_ADVICE)


def _head(path: Path) -> bytes:
    wanted = "give the path of a trace file, of an export or of a folder of them"
    if not path.exists():
        raise TraceError(f"{path} does not exist: {wanted}")
    try:
        with path.open("rb") if plain_size(path) else io.BytesIO() as trace_file:
            file_head = trace_file.read(HEAD)
    except NotPlainError as error:
        raise TraceError(f"{path} cannot be read, {error}: {wanted}") from error
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    if not file_head:
        raise TraceError(
            f"{path} is empty: was the profiler stopped before the trace was written?"
        )
    return file_head
