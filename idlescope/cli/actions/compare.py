"""What `idlescope compare` does."""

from __future__ import annotations

import string
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console

from idlescope.analysis.comparison.change import Comparison, Side
from idlescope.analysis.comparison.compare import of_sides
from idlescope.analysis.comparison.read import read
from idlescope.cli.next_command import show_next, show_written
from idlescope.cli.options import FIRST_LAST, Output
from idlescope.cli.status import counting, status_line
from idlescope.errors import ConfigError
from idlescope.report import comparison_report, output_folder
from idlescope.report.tables import comparison as report
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text
from idlescope.trace import run_folder
from idlescope.trace.names import user_file

SEPARATOR = "vs"


@dataclass(frozen=True)
class Selection:
    """What of every trace is looked at; each field is the option of that name."""

    mode: str | None = None
    window: str = FIRST_LAST
    device: tuple[int, ...] = ()
    process: str | None = None
    phases: Path | None = None

    def options(self) -> dict[str, Any]:
        """Return them as options of `analyze`."""
        return {
            "window": self.window,
            "devices": self.device or None,
            "process": self.process,
            "phases": None if self.phases is None else user_file.load(self.phases),
        }


def compare_command(
    words: Sequence[str],
    selection: Selection,
    per: str | None,
    output: Output,
    as_markdown: bool,
) -> None:
    """Read every recording once, compare, print; write the folder where one is given."""
    console = Console(stderr=output.as_json or as_markdown)
    path_sides = split(words)
    comparisons = {
        mode_name: _compare(console, mode_sides, selection, per)
        for mode_name, mode_sides in by_mode(path_sides, selection.mode).items()
    }
    written: list[Path] = []
    if output.folder is not None:
        sources = list(chain.from_iterable(path_sides))
        with (
            output_folder.made(output.folder, output.force, sources),
            output_folder.written(output.folder, output.force, sources[0]) as draft,
            status_line(console, "writing"),
        ):
            written = draft.placed(comparison_report.write(comparisons, draft.folder))
    if output.as_json:
        sys.stdout.write(to_text(report.to_json(comparisons)))
    elif as_markdown:
        sys.stdout.write(report.to_markdown(comparisons))
    else:
        for mode_name, several in comparisons.items():
            for comparison in several:
                _show(console, mode_name, comparison, output.verbose)
        show_written(console, written)
        _show_next(console, path_sides, selection.mode, written)


def _show(console: Console, mode: str, comparison: Comparison, verbose: bool) -> None:
    """Print what changed from one side to another: the verdict, then the parts it is made of."""
    if mode:
        console.print(plain(mode, "bold"))
    console.print(plain(comparison.verdict.text, "bold"))
    for warning in comparison.warnings:
        console.print(plain(warning, "yellow"))
    console.print()
    most_parts = report.MAX_PARTS if verbose else report.FEW_PARTS
    console.print(report.table(comparison, most_parts, console.width))
    legend = f"{report.MARK} and bold: more than noise."
    if verbose:
        legend += f" Noise: {comparison.noise}."
    console.print(plain(legend, "dim"))


def _show_next(
    console: Console,
    sides: Sequence[Sequence[Path]],
    mode: str | None,
    written: Sequence[Path],
) -> None:
    """Print how to look at the page, or at the last side, which was compared with the first."""
    if written:
        show_next(console, ["view", written[0].parent], "shows it in a browser")
        return
    chosen = [] if mode is None else ["--mode", mode]
    what_for = "shows its timeline in a browser"
    show_next(console, ["view", sides[-1][-1], *chosen], what_for)


def split(words: Sequence[str]) -> list[list[Path]]:
    """Return the sides: what stands between the words `vs`, or each path by itself without one.

    Raises ConfigError where a side is empty, or where there are more than letters.
    """
    if SEPARATOR not in words:
        path_sides = [[Path(given_word)] for given_word in words]
    else:
        path_sides = [[]]
        for given_word in words:
            if given_word == SEPARATOR:
                path_sides.append([])
            else:
                path_sides[-1].append(Path(given_word))
    if not all(path_sides):
        raise ConfigError(
            f"a side of {SEPARATOR} is empty: give at least one recording on either side"
        )
    most_sides = len(string.ascii_uppercase)
    if len(path_sides) > most_sides:
        raise ConfigError(
            f"{len(path_sides)} sides are too many: give at most {most_sides}"
        )
    return path_sides


def by_mode(
    sides: Sequence[Sequence[Path]], mode: str | None
) -> dict[str, list[list[Path]]]:
    """Return the sides' recordings for each mode to be compared.

    The mode is "" where no folder of `idlescope run` has several. One such folder alone stands for
    its modes, the one beside the other. Raises ConfigError where there is nothing to compare.
    """
    if len(sides) == 1:
        return {"": _two_modes(sides[0], mode)}
    tables = [run_folder.recordings(path) for path in chain.from_iterable(sides)]
    if mode is not None or all(len(recordings) < 2 for recordings in tables):
        return {"": _recordings(sides, mode)}
    some_folder = next(recordings for recordings in tables if recordings)
    common = [
        mode_name
        for mode_name in some_folder
        if all(mode_name in recordings for recordings in tables)
    ]
    if not common:
        raise ConfigError(
            "the folders have no mode in common: choose recordings, or one mode with --mode"
        )
    return {mode_name: _recordings(sides, mode_name) for mode_name in common}


def _two_modes(side: Sequence[Path], mode: str | None) -> list[list[Path]]:
    """Return the modes of the one folder of `idlescope run` that is given, each as a side."""
    recordings = run_folder.recordings(side[0]) if len(side) == 1 else {}
    if len(recordings) < 2 or mode is not None:
        raise ConfigError(
            "give two recordings or more, or one folder of `idlescope run` that holds both modes; "
            f"several of one side stand before {SEPARATOR}: "
            f"BASE1 BASE2 BASE3 {SEPARATOR} NEW1 NEW2 NEW3"
        )
    return [[mode_path] for mode_path in recordings.values()]


def _recordings(sides: Sequence[Sequence[Path]], mode: str | None) -> list[list[Path]]:
    return [[run_folder.recording(path, mode) for path in side] for side in sides]


def _compare(
    console: Console, sides: Sequence[Sequence[Path]], selection: Selection, per: str | None
) -> list[Comparison]:
    """Return what changed from the first side to each of the others."""
    recordings, options = sum(map(len, sides)), selection.options()
    letters = iter(string.ascii_uppercase)
    read_sides: list[Side] = []
    recordings_read = 0
    with status_line(console, "reading") as status:
        for one_side in sides:
            samples = []
            for side_path in one_side:
                recordings_read += 1
                activity = f"reading {recordings_read} of {recordings}"
                status.update(activity)
                samples.append(
                    read(side_path, counting(status, activity, "events"), **options)
                )
            read_sides.append(Side(next(letters), tuple(samples)))
        status.update("comparing")
        base_side, *others = read_sides
        return [of_sides(base_side, other_side, per) for other_side in others]
