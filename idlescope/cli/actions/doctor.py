"""What `idlescope doctor` does."""

from __future__ import annotations

import sys

from rich.console import Console

from idlescope.doctor.checks import examine
from idlescope.doctor.machine import Machine
from idlescope.report.tables import findings


def doctor_command(as_json: bool) -> None:
    """Look, print; whatever is found, the exit code is 0."""
    console = Console(stderr=as_json)
    with console.status("looking"):
        found = examine(Machine())
    if as_json:
        sys.stdout.write(findings.to_text(found))
    else:
        console.print(findings.table(found))
