"""What `idlescope watch` does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.live import Live

from idlescope.analysis.comparison.limits import Limits
from idlescope.analysis.steps.window import length_ns
from idlescope.cli.next_command import show_next, show_written
from idlescope.errors import ConfigError
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text
from idlescope.watching import monitoring
from idlescope.watching.view.document import WatchedDocument, WatchedDocuments
from idlescope.watching.view.members import Span
from idlescope.watching.view.places import Members
from idlescope.watching.view.screen import screen
from idlescope.watching.view.session import documents, look_once, watch_for

if TYPE_CHECKING:
    from idlescope.analysis.comparison.checks import Check

LONGEST_NS = 7 * 86_400 * 10**9
REDRAWN_PER_S = 4


@dataclass(frozen=True)
class Asked:
    """What is to be watched. Raises ConfigError for a time that is none."""

    places: tuple[str, ...]
    time: str | None  # such as 60s
    limits: Limits
    as_json: bool

    def __post_init__(self) -> None:
        seconds = self.seconds
        if seconds is not None and not 0 < seconds <= LONGEST_NS / 1e9:
            raise ConfigError(f"--for {self.time}: give more than 0 s, and a week at most")

    @property
    def seconds(self) -> float | None:
        """Return for how long; None: no end."""
        if self.time is None:
            return None
        if self.time.isdecimal():
            raise ConfigError(f"--for {self.time}: {self.time} what? write {self.time}s")
        return length_ns(self.time, "--for") / 1e9


def watch_command(asked: Asked) -> None:
    """Watch, print the last table; exit code 1 where a limit does not hold."""
    console = Console(stderr=asked.as_json)
    members = Members(asked.places)
    lives = console.is_terminal and not asked.as_json
    if asked.seconds is None and not lives:
        look_once(members)
        span = Span.BEGUN
    else:
        span = Span.SEEN
        with suppress(KeyboardInterrupt):
            _watch(console, members, asked, lives)
    watched = documents(members, span)
    checks = _checked(watched, asked.limits)
    if asked.as_json:
        sys.stdout.write(to_text(_document(watched, checks, members.notes)))
    else:
        console.print(screen(watched, span, members.notes))
        _show_checks(console, checks)
        _show_next(console, watched)
    if not all(limit_check.holds for limit_check in checks):
        raise SystemExit(1)


def rules_command(folder: Path, force: bool, asked: Asked) -> None:
    """Write what Prometheus and Grafana need. Raises as `monitoring.write` does."""
    if asked.places or asked.time or asked.limits.given() or asked.as_json:
        raise ConfigError("--rules writes files and watches nothing: give it alone")
    written = monitoring.write(folder, force)
    console = Console()
    console.print(plain("Written for Prometheus and Grafana:", "bold"))
    show_written(console, written)


def _watch(console: Console, members: Members, asked: Asked, lives: bool) -> None:
    """Watch until the time is over; show it meanwhile where there is a terminal."""
    if not lives:
        watch_for(members, asked.seconds)
        return
    with Live(console=console, transient=True, refresh_per_second=REDRAWN_PER_S) as live:

        def show() -> None:
            latest = documents(members, Span.LATELY)
            live.update(screen(latest, Span.LATELY, [*members.notes, "Ctrl-C ends it"]))

        watch_for(members, asked.seconds, show)


def _checked(watched: list[WatchedDocument], limits: Limits) -> list[Check]:
    """Return a check of each limit that is given."""
    if not limits.given():
        return []
    from idlescope.watching.view.limits import examine

    return examine(watched, limits)


def _document(
    watched: list[WatchedDocument], checks: Sequence[Check], notes: list[str]
) -> dict[str, object]:
    document = WatchedDocuments(
        holds=all(check.holds for check in checks) if checks else None,
        watched=watched,
        checks=[check.document() for check in checks],
        notes=notes,
    )
    return dict(msgspec.to_builtins(document))


def _show_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print whether the limits hold, each of them, and a sentence on those that do not."""
    if not checks:
        return
    from idlescope.report.tables import checks as check_tables

    console.print()
    console.print(plain(check_tables.verdict(checks), "bold"))
    console.print(check_tables.outcome_table(checks))
    for limit_check in checks:
        if not limit_check.holds:
            console.print(plain(limit_check.says), soft_wrap=True)


def _show_next(console: Console, watched: Sequence[WatchedDocument]) -> None:
    """Print what to look at next: the newest recording, else what guards from now on."""
    recordings = [
        path for document in watched if document.state for path in document.state.recordings
    ]
    console.print()
    if recordings:
        show_next(console, ["analyze", recordings[-1]], "says why the device was idle")
    else:
        rules = ["watch", "--rules", "monitoring"]
        show_next(console, rules, "writes alert rules and a dashboard")
