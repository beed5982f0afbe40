"""`idlescope analyze`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from idlescope.analysis.result import analyze
from idlescope.report import terminal
from idlescope.trace.open import open_trace


def analyze_command(path: Path, out: Path | None, force: bool, as_json: bool) -> None:
    """Read, analyse, print; write the report where a folder is given."""
    console = Console(stderr=as_json)
    with console.status("reading") as status:
        trace = open_trace(path, lambda events: status.update(f"reading: {events:,} events"))
        status.update("analysing")
        analysis = analyze(trace)
    paths: list[Path] = []
    if out is not None:
        from idlescope.report import folder

        folder.claim(out, force)
        with console.status("writing the report"):
            command = shlex.join(["idlescope", "analyze", str(path), "--out", str(out)])
            paths = folder.write_analysis(trace, analysis, out, command)
    if as_json:
        from idlescope.report.folder import to_text

        sys.stdout.write(to_text(analysis.to_json()))
        return
    source = analysis.source
    console.print(f"{escape(source['path'])}: {source['format']}, {source['events']:,} events", highlight=False)
    for table in terminal.analysis_tables(analysis):
        console.print(table)
    for device in analysis.devices:
        label = escape(terminal.device_label(device))
        console.print(f"[bold]{label}: {escape(device.verdict.text)}[/bold]", highlight=False)
    for warning in analysis.warnings:
        console.print(f"[yellow]{escape(warning)}[/yellow]")
    for written in paths:
        console.print(f"  {written}", highlight=False, markup=False)
