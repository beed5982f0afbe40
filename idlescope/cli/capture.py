"""`idlescope capture`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from idlescope.capture.server import Recording, record
from idlescope.cli.analyze import Choices, analyze_command
from idlescope.report import output_folder
from idlescope.report.text import visible


def capture_command(recording: Recording, out: Path | None, force: bool, as_json: bool) -> None:
    """Record, analyse what is new, print; exit code 130 where Ctrl-C ended it, the server's profiler stopped."""
    console = Console(stderr=True)
    # the folder is there before anything is recorded
    claimed = nullcontext() if out is None else output_folder.claimed(out, force, recording.traces)
    try:
        with claimed, console.status("") as status:
            new = record(recording, status.update)
    except KeyboardInterrupt as error:
        where = visible(str(recording.traces))
        print(
            f"idlescope: interrupted; what the server recorded is in {where}, not analysed",
            file=sys.stderr,
        )
        raise SystemExit(130) from error
    path, only = (new[0], None) if len(new) == 1 else (recording.traces, new)
    analyze_command(path, Choices(), out, force, as_json, only, _command(recording, out))


def _command(recording: Recording, out: Path | None) -> list[str]:
    words = [
        "idlescope",
        "capture",
        recording.url,
        "--engine",
        recording.engine,
        "--traces",
        str(recording.traces),
    ]
    words += ["--seconds", f"{recording.seconds:g}"]
    words += [] if recording.ranks is None else ["--ranks", str(recording.ranks)]
    return words if out is None else [*words, "--out", str(out)]
