"""`idlescope convert`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from idlescope.cli.status import counting
from idlescope.report.convert import convert


def convert_command(source: Path, target: Path, force: bool) -> None:
    """Convert, and say what could not be carried over."""
    console = Console()
    with console.status("reading") as status:
        notes = convert(source, target, force, counting(status, "reading", "events"))
    console.print(f"{target}", highlight=False, markup=False, soft_wrap=True)
    for note in notes:
        console.print(f"[yellow]{escape(note)}[/yellow]", highlight=False, soft_wrap=True)
