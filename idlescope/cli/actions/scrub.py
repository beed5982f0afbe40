"""What `idlescope scrub` does."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from idlescope.cli.next_command import show_next
from idlescope.cli.status import counting, status_line
from idlescope.report.tables.terminal import plain
from idlescope.trace.scrub.copy import scrub
from idlescope.trace.scrub.counts import NOTHING_KEPT, Kept


def scrub_command(
    source: Path, target: Path, force: bool, kept: Kept = NOTHING_KEPT
) -> None:
    """Write the copy that can be shared; say what was removed and what is still in it."""
    console = Console()
    with status_line(console, "scrubbing") as status:
        result = scrub(
            source, target, force, counting(status, "scrubbing", "records"), kept
        )
    console.print(plain(target), soft_wrap=True)
    for result_line in result.lines():
        console.print(plain(f"  {result_line}"), soft_wrap=True)
    show_next(console, ["analyze", target], "says the same of it as of the trace")
