"""What `idlescope view` does."""

from __future__ import annotations

import json
import shlex
import socket
import tempfile
from pathlib import Path

from rich.console import Console

from idlescope.analysis.analyze import analyze
from idlescope.cli.status import counting, status_line
from idlescope.errors import ConfigError
from idlescope.export.perfetto import excerpt, writer
from idlescope.plain_files import read_plain
from idlescope.report import perfetto_ui, serve, trace_report
from idlescope.report.tables.terminal import plain
from idlescope.trace import run_folder
from idlescope.trace.model import Trace
from idlescope.trace.nsys.recognise import REPORT_SUFFIXES
from idlescope.trace.open import open_trace
from idlescope.trace.unseen import encodable

REPORT, ANALYSIS = "report.html", "analysis.json"
OF_MANY = ("sweep.json", "comparison.json")
FETCHED_S = 300.0  # how long the Perfetto UI may take to come for the trace


def view_command(
    path: Path, in_perfetto: bool, mode: str | None, port: int, open_browser: bool
) -> None:
    """Serve the report, or the trace for Perfetto, and open a browser at it."""
    console = Console()
    reported = _report(path)
    run_folder.refuse_mode(path, mode)
    if in_perfetto:
        if port:
            port_note = f"Perfetto takes a trace from port {perfetto_ui.PORT} alone"
            raise ConfigError(f"--port is for the report: {port_note}")
        _perfetto(console, path, mode, open_browser)
    elif reported is not None:
        _serve(console, path, reported, port, open_browser)
    else:
        with tempfile.TemporaryDirectory(prefix="idlescope-") as scratch:
            opened_trace = _read(console, _trace(path, mode))
            with status_line(console, "writing the report"):
                command = shlex.join(["idlescope", "analyze", str(path)])
                trace_report.write_analysis(
                    opened_trace, analyze(opened_trace), Path(scratch), command
                )
            _serve(console, path, Path(scratch), port, open_browser)


def _report(path: Path) -> Path | None:
    """Return the folder of the report that a path names; None where it names something else."""
    if path.name == REPORT and path.is_file():
        return path.parent
    return path if (path / REPORT).is_file() else None


def _is_of_many(reported: Path) -> bool:
    """Return whether a report is of a sweep or of a comparison: no one trace is behind it."""
    return any((reported / document).is_file() for document in OF_MANY)


def _trace(path: Path, mode: str | None) -> Path:
    """Return what to read of a path.

    Of a run's folder that is a recording, of an analysis's folder the trace that it was made of.
    Raises ConfigError where that is not here.
    """
    reported = _report(path)
    if reported is None:
        return path
    recordings = run_folder.recordings(reported)
    if recordings:
        return run_folder.recording(reported, mode or next(iter(recordings)))
    source = _source(reported / ANALYSIS)
    if not source or not Path(source).exists():
        raise ConfigError(
            f"{path} holds no trace, and what it was made of is not here: give the trace itself"
        )
    return Path(source)


def _source(analysis_path: Path) -> str:
    """Return of which trace an analysis.json was made; "" where it does not say."""
    try:
        document = json.loads(read_plain(analysis_path))
        source = document["source"]["path"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return source if isinstance(source, str) else ""


def _read(console: Console, path: Path) -> Trace:
    with status_line(console, "reading") as status:
        return open_trace(path, counting(status, "reading", "events"))


def _serve(
    console: Console, path: Path, reported: Path, port: int, open_browser: bool
) -> None:
    with serve.files(reported, port) as serving:
        page_url = serving.url(REPORT)
        _say(console, f"{page_url} (Ctrl-C ends it)")
        try:
            _offer(console, page_url, serving.port, open_browser)
            if not _is_of_many(reported):
                again = shlex.join(["idlescope", "view", str(path), "--perfetto"])
                _say(console, f"in Perfetto: {again}")
                _say(console, f"in Nsight: {_nsight(path)}")
            serving.wait()
        except KeyboardInterrupt:
            _say(console, "ended")


def _perfetto(console: Console, path: Path, mode: str | None, open_browser: bool) -> None:
    source = _trace(path, mode)
    opened_trace = _read(console, source)
    results = analyze(opened_trace).results if len(opened_trace.operations) else ()
    with tempfile.TemporaryDirectory(prefix="idlescope-") as scratch:
        trace_file = Path(scratch) / f"{_stem(source)}.json.gz"
        with status_line(console, "writing the trace"):
            writer.write(opened_trace, trace_file, results)
        shown_part = ""
        if results:
            idlest_result = max(results, key=lambda result: result.idle_pct)
            shown_part = perfetto_ui.shown(
                excerpt.view(opened_trace, idlest_result), idlest_result
            )
        with serve.once(trace_file, perfetto_ui.ORIGIN, perfetto_ui.PORT) as serving:
            page_url = perfetto_ui.address(serving.url(trace_file.name), shown_part)
            _say(console, page_url)
            _say(
                console,
                "The page reads the trace from this machine, once; it is not uploaded.",
            )
            _offer(console, page_url, serving.port, open_browser)
            _say(console, f"in Nsight: {_nsight(path)}")
            if not serving.wait(FETCHED_S):
                waited = f"nothing fetched the trace within {FETCHED_S:.0f} s"
                raise ConfigError(f"{waited}: run this again, open the address")
    _say(console, "fetched")


def _say(console: Console, text: str) -> None:
    console.print(plain(text), soft_wrap=True)


def _offer(console: Console, url: str, port: int, open_browser: bool) -> None:
    """Open a browser; where there is none, say what to do."""
    if not open_browser or serve.open_browser(url):
        return
    tunnel = f"ssh -L {port}:{serve.LOOPBACK}:{port} {socket.gethostname()}"
    _say(
        console,
        f"No browser was opened here. Open the address, on another machine after `{tunnel}`.",
    )


def _nsight(path: Path) -> str:
    """Return the command that shows a path in Nsight Systems."""
    folder = path.parent if path.name == REPORT else path
    reports = _nsys_reports(folder)
    if reports:
        return shlex.join(["nsys-ui", str(reports[0])])
    recordings = run_folder.recordings(path if _report(path) is None else folder)
    source = next(iter(recordings.values()), path)
    exported = f"{_stem(path)}.sqlite"
    convert = shlex.join(["idlescope", "convert", str(source), exported])
    return f"{convert} && {shlex.join(['nsys', 'stats', exported])}"


def _nsys_reports(path: Path) -> list[Path]:
    """Return the reports of Nsight Systems that a path is or holds."""
    if path.suffix in REPORT_SUFFIXES:
        return [path]
    return sorted(path.glob("*.nsys-rep")) if path.is_dir() else []


def _stem(path: Path) -> str:
    return encodable(path.resolve().name.split(".")[0]) or "trace"
