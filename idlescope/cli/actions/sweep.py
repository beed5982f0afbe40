"""What `idlescope sweep` does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.console import Console

from idlescope.children.cores import usable_cores
from idlescope.cli.actions.sweep_progress import run_missing
from idlescope.cli.next_command import show_next, show_written
from idlescope.cli.options import Output
from idlescope.cli.status import status_line
from idlescope.errors import ConfigError, OutputExistsError
from idlescope.experiment import answers
from idlescope.experiment.cells import Cell, CellState, grid, kept
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.choose import choose
from idlescope.report import output_folder, sweep_report
from idlescope.report.tables import sweep as report
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text

FEW_CELLS = 8  # are shown without --verbose
Number = TypeVar("Number", int, float)


class Axes(NamedTuple):
    """The values that a grid combines, as on the command line: comma lists, given once or again."""

    models: Sequence[str]
    devices: Sequence[str]
    hosts: Sequence[str]  # none: measured
    batches: Sequence[str]

    def grid(self, options: dict[str, Any]) -> list[RunConfig]:
        """Return the configurations. Raises ConfigError for one that no run may have."""
        return grid(
            _listed("--model", self.models),
            self.device_names(),
            _numbers("--host-ms", self.hosts, float) if self.hosts else [None],
            _numbers("--batch-size", self.batches, int),
            **options,
        )

    def device_names(self) -> list[str]:
        """Return the devices that are named. Raises ConfigError where none is."""
        return _listed("--device", self.devices)


def sweep_command(
    axes: Axes, options: dict[str, Any], jobs: int | None, resume: bool, output: Output
) -> None:
    """Run the grid, write the folder, print table and answers.

    Exit code 130 where Ctrl-C stopped it; 1 where a cell failed, or none could be run.
    """
    configs = axes.grid(options)
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs is {jobs}: give 1 or more")
    folder = _folder(output, resume)
    console = output.console()
    device_notes = (choose(device_name).note for device_name in axes.device_names())
    for device_note in dict.fromkeys(device_notes):
        if device_note:
            console.print(plain(device_note, "dim"))
    with _place(folder, output.force, resume) as place:
        cells_folder = place.folder / report.CELLS
        cells_folder.mkdir(exist_ok=True)
        kept_cells = _kept_before(configs, cells_folder) if resume else {}
        if resume:
            console.print(
                plain(f"{len(kept_cells)} of {len(configs)} cells are in {folder} already")
            )
        with output_folder.added(place.folder) as draft:
            so_far = report.document(configs, list(kept_cells.values()))
            report.mark(so_far, draft.folder)
        interrupted = run_missing(
            console, configs, kept_cells, cells_folder, jobs or usable_cores()
        )
        if interrupted:  # perhaps as a cell had just been written, which no one was told
            kept_cells |= _kept_before(configs, cells_folder)
        in_order = [kept_cells[config] for config in configs if config in kept_cells]
        summary = report.document(configs, in_order)
        with (
            status_line(console, "writing the tables"),
            output_folder.added(place.folder) as draft,
        ):
            in_draft = sweep_report.write(summary, draft.folder)
        written = place.placed(draft.placed(in_draft))
    if output.as_json:
        sys.stdout.write(to_text(summary))
    else:
        _show(console, summary, written, output.verbose)
    if interrupted:
        progress = f"{len(kept_cells)} of {len(configs)} cells are kept"
        console.print(f"stopped: {progress}; the same command with --resume goes on")
        raise SystemExit(130)
    states = {cell.state for cell in kept_cells.values()}
    if CellState.FAILED in states or CellState.DONE not in states:
        raise SystemExit(1)


@contextmanager
def _place(folder: Path, force: bool, resume: bool) -> Iterator[output_folder.Draft]:
    """Yield where the cells are kept: in the folder itself, so that a killed sweep can go on.

    With force, beside an earlier result, which this one replaces at its end.
    """
    if force and folder.is_dir() and any(folder.iterdir()):
        with output_folder.written(folder, force) as draft:
            yield draft
        return
    with output_folder.claimed(folder, force or resume):
        yield output_folder.Draft(folder, folder)


def _kept_before(configs: Sequence[RunConfig], folder: Path) -> dict[RunConfig, Cell]:
    """Return the cells that were run to their end before."""
    cells_found = ((config, kept(config, folder)) for config in configs)
    return {config: cell for config, cell in cells_found if cell is not None}


def _show(
    console: Console, summary: dict[str, Any], written: Sequence[Path], verbose: bool
) -> None:
    """Print when devices stop idling, the cells where they are few, and what was written."""
    rows = summary["rows"]
    if rows:
        console.print(report.answer_table(rows))
        console.print()
    for sentence in summary["answers"] if verbose else answers.all_not_run(rows):
        console.print(plain(sentence))
    if verbose or summary["cells"]["all"] <= FEW_CELLS:
        for sweep_table in report.terminal_tables(rows):
            console.print(sweep_table)
    show_written(console, written, verbose)
    _show_next(console, rows, written[0].parent)


def _show_next(console: Console, rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Print how to look at the sweep where it has a page, else at its idlest cell."""
    if (folder / "report.html").is_file():
        show_next(console, ["view", folder], "shows it in a browser")
        return
    done = [row for row in rows if row["idle_pct"] is not None]
    if not done:
        return
    idlest = max(done, key=lambda row: row["idle_pct"])
    words = ["run", "--model", idlest["model"], "--device", idlest["device"]]
    words += ["--batch-size", str(idlest["batch_size"])]
    if idlest["host_ms"] is not None:
        words += ["--host-ms", f"{idlest['host_ms']:g}"]
    show_next(console, words, "shows the idlest cell as a timeline")


def _folder(output: Output, resume: bool) -> Path:
    """Return the folder to write to.

    Raises ConfigError and OutputExistsError where it cannot be gone on with.
    """
    folder, force = output.folder, output.force
    if resume and force:
        raise ConfigError("--resume keeps what --force would replace: give one of them")
    if resume and folder is None:
        raise ConfigError(
            "--resume goes on with the folder of an earlier sweep: name it with --out"
        )
    if folder is None:
        sweep_folder = Path("reports") / "sweep"
        return sweep_folder if force else output_folder.free_name(sweep_folder)
    if (folder / report.MARK).is_file():
        if not resume and not force:
            raise OutputExistsError(
                f"{folder} holds a sweep: --resume goes on with it, --force replaces it"
            )
    elif resume and folder.is_dir() and any(folder.iterdir()):
        raise OutputExistsError(
            f"{folder} holds files and is no sweep: give the folder of one, or leave --resume out"
        )
    return folder


def _listed(option: str, texts: Sequence[str]) -> list[str]:
    """Return what was given in comma lists. Raises ConfigError where that is nothing."""
    list_entries = [
        entry.strip() for text in texts for entry in text.split(",") if entry.strip()
    ]
    if not list_entries:
        raise ConfigError(f"{option} names nothing: give one or more, with commas between")
    return list_entries


def _numbers(
    option: str, texts: Sequence[str], kind: Callable[[str], Number]
) -> list[Number]:
    """Return a list of numbers. Raises ConfigError where one is none."""
    try:
        return [kind(text) for text in _listed(option, texts)]
    except ValueError:
        given_text = ",".join(texts)
        raise ConfigError(
            f"{option} is {given_text}: give numbers with commas between"
        ) from None
