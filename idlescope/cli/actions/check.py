"""What `idlescope check` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from idlescope.analysis.comparison.checks import Check, examine
from idlescope.analysis.comparison.limits import Limits
from idlescope.cli.actions.compare import Selection
from idlescope.cli.next_command import show_next
from idlescope.cli.status import counting, status_line
from idlescope.cli.workflow_safe import say_command
from idlescope.report.tables import checks as report
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text


class Announced(NamedTuple):
    """Where the result is said, beside the terminal."""

    junit: Path | None  # a file of JUnit XML
    github: bool | None  # annotations for GitHub; None: in its Actions
    as_json: bool

    @property
    def on_github(self) -> bool:
        """Return whether GitHub's annotations are printed."""
        if self.github is None:
            return os.environ.get("GITHUB_ACTIONS") == "true"
        return self.github


def check_command(
    trace: Path,
    limits: Limits,
    against: Sequence[Path],
    selection: Selection,
    announced: Announced,
) -> None:
    """Check, print a row per limit; exit code 1 where one does not hold."""
    console = Console(stderr=announced.as_json)
    if announced.junit is not None:
        report.refuse(announced.junit)
    with status_line(console, "reading") as status:
        progress = counting(status, "reading", "events")
        options = selection.options()
        checks = examine(
            trace, limits, against, mode=selection.mode, progress=progress, **options
        )
    if announced.junit is not None:
        report.write_junit(checks, announced.junit)
    if announced.as_json:
        sys.stdout.write(to_text(report.to_json(checks)))
    else:
        _show(console, checks)
        console.print()
        show_next(console, ["analyze", trace], "says why the device is idle")
    if announced.on_github:
        stream = sys.stderr if announced.as_json else sys.stdout
        for command_line in report.github_commands(checks):
            say_command(command_line, stream)
    if not all(limit_check.holds for limit_check in checks):
        raise SystemExit(1)


def _show(console: Console, checks: Sequence[Check]) -> None:
    """Print whether all limits hold, each of them, and a sentence on those that do not."""
    console.print(plain(report.verdict(checks), "bold"))
    console.print()
    console.print(report.outcome_table(checks))
    for limit_check in checks:
        if not limit_check.holds or limit_check.doubtful:
            console.print(plain(limit_check.says), soft_wrap=True)
