"""What `idlescope run` does."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from idlescope.cli.next_command import show_next, show_written
from idlescope.cli.options import Output
from idlescope.cli.status import REFRESH_S, status_line
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.choose import choose
from idlescope.experiment.progress import Progress as Report
from idlescope.experiment.progress import Running
from idlescope.experiment.run import prepared, run
from idlescope.experiment.watched import Watched, unwatched
from idlescope.report import output_folder, run_report
from idlescope.report.tables import runs
from idlescope.report.tables.run_at_a_glance import glance_table
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text


def run_command(config: RunConfig, output: Output) -> None:
    """Run, write the folder, print what it shows; exit code 130 where Ctrl-C stopped it."""
    choice = choose(config.device)
    # what cannot be run is refused, and the workload file read, before anything is written
    config = prepared(config, choice)
    folder = output.folder
    if folder is None:
        reports_folder = Path("reports") / run_report.run_name(config)
        folder = reports_folder if output.force else output_folder.free_name(reports_folder)
    console = output.console()
    with output_folder.written(folder, output.force) as draft:
        if choice.note:
            console.print(plain(choice.note, "dim"))
        tokens = int(config.demand.output_tokens.sum())
        with live(console, config.modes, tokens) as progress:
            result = run(config, progress, draft.folder, _watched())
        summary = result.summary()
        with status_line(console, "writing the report"):
            written = draft.placed(run_report.write_run(result, draft.folder))
    if output.as_json:
        sys.stdout.write(to_text(summary))
    else:
        warnings = [text for text in summary["warnings"] if text != choice.note]
        show(console, summary, warnings, output.verbose)
        _show_files(console, written, output.verbose)
    if result.interrupted:
        raise SystemExit(130)


def _watched() -> Watched:
    """Return what lets a watch take part, where the environment asks for it."""
    from idlescope.watching.engines.asked import watching_is_asked_for

    if not watching_is_asked_for():
        return unwatched
    from idlescope.watching.own_engine import watched

    return watched


def show(
    console: Console, summary: dict[str, Any], warnings: Sequence[str], verbose: bool
) -> None:
    """Print what a run says, then its figures: the first of them, or all."""
    statements = summary["statements"]
    console.print(plain(statements["this_engine"], "bold"))
    for sentence in (statements["published_host"], statements["your_engine"]):
        if sentence is not None:
            console.print(plain(sentence))
    console.print()
    console.print(plain(runs.run_title(summary), "dim"))
    console.print(runs.run_table(summary) if verbose else glance_table(summary))
    profiled = runs.profiled_table(summary)
    if profiled is not None:
        console.print(profiled)
    for warning in warnings:
        console.print(plain(warning, "yellow"))


def _show_files(console: Console, written: Sequence[Path], verbose: bool) -> None:
    """Print where a run's report is, with all that was written where that is asked for."""
    show_written(console, written, verbose)
    show_next(console, ["view", written[0].parent], "shows the timeline in a browser")


@contextmanager
def live(console: Console, modes: Sequence[str], tokens: int) -> Iterator[Report]:
    """Show a bar per mode, of so many tokens, and one for the rates that are tried.

    Yields what to call after each step. Beside each stand the
    device's idle share and the tokens per second so far.
    """
    columns = (
        TextColumn("{task.description:<5}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tokens"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[live]}"),
    )
    hidden = not console.is_terminal
    with Progress(
        *columns, console=console, transient=True, disable=hidden
    ) as progress_bars:
        mode_tasks = {
            mode: progress_bars.add_task(mode, total=tokens, live="") for mode in modes
        }
        rates = progress_bars.add_task("", total=tokens, live="", visible=False)
        due = 0.0

        def report(name: str, engine: Running) -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            # What is no mode is a rate that is tried: all of them share one bar.
            task = mode_tasks.get(name, rates)
            elapsed_ns = max(engine.clock.now(), 1)
            idle_pct = 100.0 * max(0.0, 1.0 - engine.busy_ns() / elapsed_ns)
            token_rate = engine.tokens / elapsed_ns * 1e9
            live_text = f"idle {idle_pct:.1f} %  {token_rate:,.0f} tokens/s"
            progress_bars.update(
                task,
                description=name,
                completed=engine.tokens,
                live=live_text,
                visible=True,
            )
            due = time.monotonic() + REFRESH_S

        yield report
