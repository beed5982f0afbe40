"""What `idlescope convert` does."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from idlescope.cli.next_command import show_next
from idlescope.cli.status import counting, status_line
from idlescope.export.convert import convert
from idlescope.report.tables.terminal import plain


def convert_command(source: Path, target: Path, force: bool) -> None:
    """Convert, and say what could not be carried over."""
    console = Console()
    with status_line(console, "reading") as status:
        conversion_notes = convert(
            source, target, force, counting(status, "reading", "events")
        )
    console.print(plain(target), soft_wrap=True)
    for conversion_note in conversion_notes:
        console.print(plain(conversion_note, "yellow"), soft_wrap=True)
    show_next(console, ["analyze", target], "says how idle it is, and why")
