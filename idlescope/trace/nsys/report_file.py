"""Reports of Nsight Systems (`.nsys-rep`): `nsys`, which alone can read them, exports them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from idlescope.errors import TraceError
from idlescope.trace.model import Trace
from idlescope.trace.nsys import reader
from idlescope.trace.scrub.counts import Scrubbed


def export_command(path: Path) -> str:
    """Return the shell command that exports a report to an SQLite file beside it."""
    return shlex.join(_export("nsys", path, path.with_suffix(".sqlite"), overwrite=False))


def scrub(
    source: Path,
    _target: Path,
    _result: Scrubbed,
    _progress: Callable[[int], None] | None = None,
) -> NoReturn:
    """Raise TraceError: nobody but nsys can write a report."""
    raise TraceError(
        f"{source} is a report that only nsys can read: run `{export_command(source)}`, "
        "and scrub the .sqlite file"
    )


def open_report(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of a report, exported to a temporary folder.

    `progress` and `frames` are as in `nsys.reader.read`. Raises TraceError where `nsys` is not on
    PATH or cannot export the report; the message holds the command to run.
    """
    tool_path = shutil.which("nsys")
    if tool_path is None:
        raise TraceError(
            f"{path} is a report that only nsys can read, and nsys is not on PATH: "
            f"run `{export_command(path)}` where it is, and give the .sqlite file"
        )
    with tempfile.TemporaryDirectory(prefix="idlescope-") as folder:
        export = Path(folder) / "report.sqlite"
        _run(_export(tool_path, path, export, overwrite=True), path, export)
        try:
            exported_trace = reader.read(export, progress, frames)
        except TraceError as error:
            raise TraceError(str(error).replace(str(export), str(path))) from error
    return replace(exported_trace, meta=exported_trace.meta.replace(path=str(path)))


def _export(tool: str, report: Path, export: Path, overwrite: bool) -> list[str]:
    """Return the command that exports a report."""
    forced = ["--force-overwrite=true"] if overwrite else []
    output, source = _argument(export), _argument(report)
    return [tool, "export", "--type", "sqlite", *forced, "--output", output, source]


def _argument(path: Path) -> str:
    """Return a path as an argument of a command: a name that starts with "-" is no option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _run(command: list[str], report: Path, export: Path) -> None:
    """Run nsys. Raises TraceError, with its last words, where it makes no export."""
    try:
        # the command is nsys from the user's own PATH
        finished_run = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise _failure(report, str(error)) from error
    if finished_run.returncode != 0 or not export.is_file():
        output = f"{finished_run.stdout}\n{finished_run.stderr}".splitlines()
        output_lines = [
            output_line.strip() for output_line in output if output_line.strip()
        ]
        raise _failure(report, output_lines[-1] if output_lines else "it said nothing")


def _failure(report: Path, last_words: str) -> TraceError:
    return TraceError(
        f"nsys could not export {report} ({last_words}): run `{export_command(report)}` "
        "with the nsys that recorded it, or a newer one"
    )
