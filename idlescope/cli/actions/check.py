"""What `idlescope check` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from idlescope.analysis.comparison.checks import Check, examine
from idlescope.analysis.comparison.limits import Limits
from idlescope.analysis.history import file as history_file
from idlescope.analysis.history.commit import commit_here
from idlescope.analysis.history.creep import creep_checks
from idlescope.analysis.history.file import History
from idlescope.analysis.history.line import line_of
from idlescope.analysis.history.trend import CREEP_PCT, Trend, trends
from idlescope.analysis.result import Analysis
from idlescope.cli.actions.compare import Selection
from idlescope.cli.next_command import show_next, show_written
from idlescope.cli.status import counting, status_line
from idlescope.cli.workflow_safe import say_command
from idlescope.errors import ConfigError
from idlescope.report import output_folder, trend_report
from idlescope.report.tables import checks as report
from idlescope.report.tables import trends as tables
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


class Remembered(NamedTuple):
    """The history that the figures are added to."""

    file: Path | None
    commit: str | None  # None: as CI or the repository says
    folder: Path | None  # for the trend
    force: bool

    def refuse(self, limits: Limits) -> None:
        """Raise ConfigError for options that need a history, without one."""
        if (
            self.file is None
            and (limits.max_creep, self.commit, self.folder) != (None,) * 3
        ):
            raise ConfigError(
                "--max-creep, --commit and --out are of a history: give --history"
            )


class _Trended(NamedTuple):
    """A history with the line of today, and what its figures come to."""

    history: History
    trends: list[Trend]


def check_command(
    trace: Path,
    limits: Limits,
    against: Sequence[Path],
    selection: Selection,
    announced: Announced,
    remembered: Remembered,
) -> None:
    """Check, print a row per limit; exit code 1 where one does not hold.

    The figures are added to the history where one is given.
    """
    console = Console(stderr=announced.as_json)
    remembered.refuse(limits)
    if announced.junit is not None:
        report.refuse(announced.junit)
    folder_made: AbstractContextManager[None] = nullcontext()
    if remembered.folder is not None:
        folder_made = output_folder.made(remembered.folder, remembered.force, [trace])
    with folder_made:
        checks = _checked(console, trace, limits, against, selection, announced, remembered)
    if not all(limit_check.holds for limit_check in checks):
        raise SystemExit(1)


def _checked(
    console: Console,
    trace: Path,
    limits: Limits,
    against: Sequence[Path],
    selection: Selection,
    announced: Announced,
    remembered: Remembered,
) -> list[Check]:
    """Check, add to the history, and say the result; return it."""
    analyses: dict[str, Analysis] = {}
    with status_line(console, "reading") as status:
        checks = examine(
            trace,
            limits,
            against,
            mode=selection.mode,
            progress=counting(status, "reading", "events"),
            seen=None if remembered.file is None else analyses.__setitem__,
            **selection.options(),
        )
    if remembered.file is None:
        _announce(console, trace, checks, None, announced, remembered)
        return checks
    trended = _remember(remembered.file, remembered.commit, analyses, limits)
    if limits.max_creep is not None:
        checks += creep_checks(trended.trends, limits.max_creep)
    try:
        _announce(console, trace, checks, trended, announced, remembered)
    except KeyboardInterrupt as interrupt:
        kept = str(interrupt) or f"{remembered.file} has its line of this commit"
        raise KeyboardInterrupt(kept) from interrupt
    return checks


def _remember(
    path: Path, commit: str | None, analyses: dict[str, Analysis], limits: Limits
) -> _Trended:
    """Add today's line to a history; return it with its trends."""
    line = line_of(commit or commit_here(), analyses)
    history = history_file.append(path, line)
    allowed_pct = CREEP_PCT if limits.max_creep is None else limits.max_creep
    return _Trended(history, trends(history.lines, allowed_pct))


def _announce(
    console: Console,
    trace: Path,
    checks: Sequence[Check],
    trended: _Trended | None,
    announced: Announced,
    remembered: Remembered,
) -> None:
    """Say the result in all the places where it is wanted."""
    documents = [] if trended is None else tables.to_documents(trended.trends)
    document = report.to_json(checks, documents)
    if announced.junit is not None:
        report.write_junit(checks, announced.junit)
    written: list[Path] = []
    if remembered.folder is not None and trended is not None:
        with output_folder.written(remembered.folder, remembered.force, trace) as draft:
            written = draft.placed(
                trend_report.write(trended.trends, trended.history, document, draft.folder)
            )
    if announced.as_json:
        sys.stdout.write(to_text(document))
    else:
        _show(console, checks)
        if trended is not None:
            _show_trends(console, trended)
        if written:
            show_written(console, written)
        console.print()
        show_next(console, ["analyze", trace], "says why the device is idle")
    if announced.on_github:
        stream = sys.stderr if announced.as_json else sys.stdout
        for command_line in report.github_commands(checks):
            say_command(command_line, stream)


def _show_trends(console: Console, trended: _Trended) -> None:
    """Print what the figures did over the commits, and their course."""
    console.print()
    for trend in trended.trends:
        style = "bold red" if trend.kind in tables.WORSE else ""
        console.print(plain(trend.text(), style), soft_wrap=True)
    if damage := tables.damage_text(trended.history):
        console.print(plain(damage, "yellow"))
    console.print()
    console.print(tables.trend_table(trended.trends))


def _show(console: Console, checks: Sequence[Check]) -> None:
    """Print whether all limits hold, each of them, and a sentence on those that do not."""
    console.print(plain(report.verdict(checks), "bold"))
    if not checks:
        return
    console.print()
    console.print(report.outcome_table(checks))
    for limit_check in checks:
        if not limit_check.holds or limit_check.doubtful:
            console.print(plain(limit_check.says), soft_wrap=True)
