"""`idlescope run`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from idlescope.cli.status import REFRESH_S
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.choose import choose
from idlescope.experiment.progress import Progress as Report
from idlescope.experiment.progress import Running
from idlescope.experiment.run import prepared, run
from idlescope.report import output_folder, run_report
from idlescope.report.tables import runs
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text


def run_command(config: RunConfig, out: Path | None, force: bool, as_json: bool) -> None:
    """Run, write the folder, print the table; exit code 130 where Ctrl-C stopped it."""
    choice = choose(config.device)
    # what cannot be run is refused, and the workload file read, before anything is written
    config = prepared(config, choice)
    note, tokens = choice.note, int(config.demand.output_tokens.sum())
    if out is None:
        base = Path("reports") / run_report.run_name(config)
        out = base if force else output_folder.free_name(base)
    console = Console(stderr=as_json)
    with output_folder.claimed(out, force):
        if note:
            console.print(f"[dim]{note}[/dim]")
        with live(console, config.modes, tokens) as progress:
            result = run(config, progress, out)
    with console.status("writing the report"):
        paths = run_report.write_run(result, out)
    summary = result.summary()
    if as_json:
        sys.stdout.write(to_text(summary))
    else:
        console.print(runs.run_table(summary))
        if (profiled := runs.profiled_table(summary)) is not None:
            console.print(profiled)
        console.print(f"[bold]{summary['verdict']}[/bold]")
        for warning in summary["warnings"]:
            if warning != note:
                console.print(f"[yellow]{warning}[/yellow]")
        for path in paths:
            console.print(plain(f"  {path}"))
    if result.interrupted:
        raise SystemExit(130)


@contextmanager
def live(console: Console, modes: Sequence[str], tokens: int) -> Iterator[Report]:
    """Show a bar a mode, of so many tokens, with its idle share and tokens/s so far; yield what to call after steps."""
    columns = (
        TextColumn("{task.description:<5}"), BarColumn(), MofNCompleteColumn(), TextColumn("tokens"),
        TimeRemainingColumn(), TextColumn("{task.fields[live]}"),
    )  # fmt: skip
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        tasks = {m: bars.add_task(m, total=tokens, live="") for m in modes}
        due = 0.0

        def report(mode: str, engine: Running) -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            now = max(engine.clock.now(), 1)
            idle = 100.0 * max(0.0, 1.0 - engine.busy_ns() / now)
            text = f"idle {idle:.1f} %  {engine.tokens / now * 1e9:,.0f} tokens/s"
            bars.update(tasks[mode], completed=engine.tokens, live=text)
            due = time.monotonic() + REFRESH_S

        yield report
