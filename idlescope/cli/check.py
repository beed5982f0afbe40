"""`idlescope check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from idlescope.analysis.comparison.limits import Limits, examine
from idlescope.cli.compare import Selection
from idlescope.cli.status import counting
from idlescope.report.tables import checks as report
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text


def check_command(
    trace: Path, limits: Limits, against: Sequence[Path], selection: Selection, junit: Path | None,
    github: bool | None, as_json: bool,
) -> None:  # fmt: skip
    """Check, print a sentence a limit; exit code 1 where one does not hold."""
    console = Console(stderr=as_json)
    if junit is not None:
        report.refuse(junit)
    with console.status("reading") as status:
        progress = counting(status, "reading", "events")
        checks = examine(
            trace, limits, against, mode=selection.mode, progress=progress, **selection.options()
        )
    if junit is not None:
        report.write_junit(checks, junit)
    if as_json:
        sys.stdout.write(to_text(report.to_json(checks)))
    else:
        for check in checks:
            word, style = ("broken", "bold red") if not check.holds else ("in doubt", "yellow")
            if check.holds and not check.doubtful:
                word, style = "holds", "green"
            console.print(plain(word, style), plain(check.says), soft_wrap=True)
    if os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github:
        for line in report.github_commands(checks):
            print(line, file=sys.stderr if as_json else sys.stdout)
    if not all(check.holds for check in checks):
        raise SystemExit(1)
