"""What `idlescope doctor` does."""

from __future__ import annotations

import sys

from rich.console import Console

from idlescope.cli.next_command import show_next
from idlescope.cli.status import status_line
from idlescope.doctor.checks import examine
from idlescope.doctor.findings import State
from idlescope.doctor.machine import Machine
from idlescope.report.tables import findings
from idlescope.report.tables.terminal import plain


def doctor_command(as_json: bool) -> None:
    """Look, print; whatever is found, the exit code is 0."""
    console = Console(stderr=as_json)
    with status_line(console, "looking"):
        found = examine(Machine())
    if as_json:
        sys.stdout.write(findings.to_text(found))
        return
    console.print(findings.listed(found))
    console.print()
    console.print(plain(findings.conclusion(found), "bold"))
    states = {finding.name: finding.state for finding in found}
    device = ["--device", "cuda"] if states["cuda"] == State.OK else []
    words = ["run", "--model", "8b", "--tokens", "8000", *device]
    show_next(console, words, "shows how idle it would be, and why")
