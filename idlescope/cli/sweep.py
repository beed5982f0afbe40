"""`idlescope sweep`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from idlescope.cli.status import REFRESH_S
from idlescope.errors import ConfigError, OutputExistsError
from idlescope.experiment.cells import Cell, CellState, grid, kept
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.choose import choose
from idlescope.experiment.progress import Running
from idlescope.experiment.sweep import sweep
from idlescope.report import output_folder, sweep_report
from idlescope.report.tables import sweep as report
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text, visible

N = TypeVar("N", int, float)


def sweep_command(
    models: Sequence[str], on: Sequence[str], hosts: Sequence[str], batches: Sequence[str], options: dict[str, Any],
    jobs: int | None, resume: bool, out: Path | None, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run the grid, write the folder, print table and answers.

    Exit code 130 where Ctrl-C stopped it; 1 where a cell failed, or none could be run.
    """
    configs = grid(
        _listed("--model", models),
        _listed("--device", on),
        _numbers("--host-ms", hosts, float) if hosts else [None],
        _numbers("--batch-size", batches, int),
        **options,
    )
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs is {jobs}: give 1 or more")
    out = _folder(out, resume, force)
    console = Console(stderr=as_json)
    for note in dict.fromkeys(choose(name).note for name in _listed("--device", on)):
        if note:
            console.print(plain(note, "dim"))
    with output_folder.claimed(out, force or resume):
        at = out / report.CELLS
        at.mkdir(exist_ok=True)
        cells = {c: cell for c in configs if resume and (cell := kept(c, at))}
        if resume:
            console.print(plain(f"{len(cells)} of {len(configs)} cells are in {out} already"))
        report.mark(report.document(configs, list(cells.values())), out)
        interrupted = _run(configs, cells, at, jobs or cores(), console)
    with console.status("writing the tables"):
        summary = report.document(configs, [cells[c] for c in configs if c in cells])
        paths = sweep_report.write(summary, out)
    if as_json:
        sys.stdout.write(to_text(summary))
    else:
        for table in report.terminal_tables(summary["rows"]):
            console.print(table)
        for answer in summary["answers"]:
            console.print(plain(answer))
        for path in paths:
            console.print(plain(f"  {path}"))
    if interrupted:
        console.print(
            f"stopped: {len(cells)} of {len(configs)} cells are kept; the same command with --resume goes on"
        )
        raise SystemExit(130)
    states = {cell.state for cell in cells.values()}
    if CellState.FAILED in states or CellState.DONE not in states:
        raise SystemExit(1)


def _run(
    configs: Sequence[RunConfig],
    cells: dict[RunConfig, Cell],
    at: Path,
    jobs: int,
    console: Console,
) -> bool:
    """Run the cells that are missing in `cells` and add them; return whether Ctrl-C stopped it."""
    missing = [c for c in configs if c not in cells]
    columns = (
        TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[live]}", markup=False),
    )  # fmt: skip
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task("", total=len(configs), completed=len(cells), live="")
        due = 0.0

        def live(config: RunConfig, mode: str, engine: Running) -> None:
            nonlocal due
            if time.monotonic() >= due:
                tokens = int(config.demand.output_tokens.sum())
                bars.update(
                    task,
                    live=visible(
                        f"{_label(config)} {mode}: {engine.tokens:,} of {tokens:,} tokens"
                    ),
                )
                due = time.monotonic() + REFRESH_S

        try:
            for cell in sweep(missing, at, jobs, live):
                cells[cell.config] = cell
                bars.update(
                    task, advance=1, live=visible(f"{_label(cell.config)}: {_outcome(cell)}")
                )
                if not console.is_terminal:
                    console.print(
                        plain(
                            f"{len(cells)}/{len(configs)} {_label(cell.config)}: {_outcome(cell)}"
                        )
                    )
        except KeyboardInterrupt:
            return True
    return False


def _label(config: RunConfig) -> str:
    host = "" if config.host_ms is None else f" host {config.host_ms:g} ms"
    return f"{config.model} {config.device}{host} batch {config.batch_size}"


def _outcome(cell: Cell) -> str:
    if cell.summary is None:
        return f"{cell.state}: {cell.reason}"
    return "idle " + ", ".join(
        f"{mode} {100 - m['active_pct']:.2f} %" for mode, m in cell.summary["modes"].items()
    )


def _folder(out: Path | None, resume: bool, force: bool) -> Path:
    """Return the folder to write to. Raises ConfigError and OutputExistsError where it cannot be gone on with."""
    if resume and force:
        raise ConfigError("--resume keeps what --force would replace: give one of them")
    if resume and out is None:
        raise ConfigError(
            "--resume goes on with the folder of an earlier sweep: name it with --out"
        )
    if out is None:
        base = Path("reports") / "sweep"
        return base if force else output_folder.free_name(base)
    if (out / report.MARK).is_file():
        if not resume and not force:
            raise OutputExistsError(
                f"{out} holds a sweep: --resume goes on with it, --force replaces it"
            )
    elif resume and out.is_dir() and any(out.iterdir()):
        raise OutputExistsError(
            f"{out} holds files and is no sweep: give the folder of one, or leave --resume out"
        )
    return out


def _listed(option: str, values: Sequence[str]) -> list[str]:
    """Return what was given in comma lists, repeated options or both. Raises ConfigError where that is nothing."""
    parts = [part.strip() for value in values for part in value.split(",") if part.strip()]
    if not parts:
        raise ConfigError(f"{option} names nothing: give one or more, with commas between")
    return parts


def _numbers(option: str, values: Sequence[str], kind: Callable[[str], N]) -> list[N]:
    """Return a list of numbers. Raises ConfigError where one is none."""
    try:
        return [kind(text) for text in _listed(option, values)]
    except ValueError:
        raise ConfigError(
            f"{option} is {','.join(values)}: give numbers with commas between"
        ) from None


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
