"""Run the cells of a sweep and show how far it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from idlescope.cli.status import REFRESH_S
from idlescope.experiment.cells import Cell
from idlescope.experiment.config import RunConfig
from idlescope.experiment.progress import Running
from idlescope.experiment.sweep import sweep
from idlescope.report.tables.terminal import plain
from idlescope.report.text import visible


def run_missing(
    console: Console,
    configs: Sequence[RunConfig],
    cells: dict[RunConfig, Cell],
    folder: Path,
    jobs: int,
) -> bool:
    """Run the cells that are missing in `cells` and add them; return whether Ctrl-C stopped it."""
    missing = [config for config in configs if config not in cells]
    with _bar(console) as progress_bar:
        sweep_task = progress_bar.add_task(
            "", total=len(configs), completed=len(cells), live=""
        )
        due = 0.0

        def live(config: RunConfig, mode: str, engine: Running) -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            tokens = int(config.demand.output_tokens.sum())
            live_text = f"{_label(config)} {mode}: {engine.tokens:,} of {tokens:,} tokens"
            progress_bar.update(sweep_task, live=visible(live_text))
            due = time.monotonic() + REFRESH_S

        try:
            for sweep_cell in sweep(missing, folder, jobs, live):
                cells[sweep_cell.config] = sweep_cell
                outcome = f"{_label(sweep_cell.config)}: {_outcome(sweep_cell)}"
                progress_bar.update(sweep_task, advance=1, live=visible(outcome))
                if not console.is_terminal:
                    console.print(plain(f"{len(cells)}/{len(configs)} {outcome}"))
        except KeyboardInterrupt:
            return True
    return False


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("cells"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[live]}", markup=False),
    )
    return Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    )


def _label(config: RunConfig) -> str:
    host_note = "" if config.host_ms is None else f" host {config.host_ms:g} ms"
    return f"{config.model} {config.device}{host_note} batch {config.batch_size}"


def _outcome(cell: Cell) -> str:
    if cell.summary is None:
        return f"{cell.state}: {cell.reason}"
    mode_figures = cell.summary["modes"].items()
    idle_texts = (
        f"{mode_name} {100 - figures['active_pct']:.2f} %"
        for mode_name, figures in mode_figures
    )
    return f"idle {', '.join(idle_texts)}"
