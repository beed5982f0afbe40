"""Nsight Systems' own reports (`.nsys-rep`), which only `nsys` can read: it exports, idlescope reads that."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace.model import Trace
from idlescope.trace.nsys import reader

# Reports begin with "NVIDIA Tegra Profiler Report" (nsys 2023.4): the first 16 bytes of that
REPORT_MAGIC = b"NVIDIA Tegra Pro"
SUFFIXES = (".nsys-rep", ".qdrep")  # the second until 2021


def is_report(path: Path, magic: bytes) -> bool:
    """Return whether a file is a report, from its first 16 bytes or its name."""
    return magic.startswith(REPORT_MAGIC) or path.suffix in SUFFIXES


def export_command(path: Path) -> str:
    """Return the shell command that exports a report to an SQLite file beside it."""
    return shlex.join(_export("nsys", path, path.with_suffix(".sqlite"), overwrite=False))


def open_report(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of a report, exported to a temporary folder; `progress` and `frames` as in `nsys.read`.

    Raises TraceError where `nsys` is not on PATH or cannot export it; the message holds the command to run.
    """
    tool = shutil.which("nsys")
    if tool is None:
        raise TraceError(
            f"{path} is a report that only nsys can read, and nsys is not on PATH: run `{export_command(path)}` where "
            "it is, and give the .sqlite file"
        )
    with tempfile.TemporaryDirectory(prefix="idlescope-") as folder:
        export = Path(folder) / "report.sqlite"
        _run(_export(tool, path, export, overwrite=True), path, export)
        try:
            trace = reader.read(export, progress, frames)
        except TraceError as error:
            raise TraceError(str(error).replace(str(export), str(path))) from error
    return replace(trace, meta=trace.meta.replace(path=str(path)))


def _export(tool: str, path: Path, export: Path, overwrite: bool) -> list[str]:
    # absolute or with "./": a name that starts with "-" is no option
    names = [str(p) if not str(p).startswith("-") else f"./{p}" for p in (export, path)]
    forced = ["--force-overwrite=true"] if overwrite else []
    return [tool, "export", "--type", "sqlite", *forced, "--output", *names]


def _run(command: list[str], path: Path, export: Path) -> None:
    try:
        # S603: the command is nsys from the user's own PATH
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
        said = [
            line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()
        ]
        failed = done.returncode != 0 or not export.is_file()
    except OSError as error:
        said, failed = [str(error)], True
    if failed:
        raise TraceError(
            f"nsys could not export {path} ({said[-1] if said else 'it said nothing'}): run `{export_command(path)}` "
            "with the nsys that recorded it, or a newer one"
        )
