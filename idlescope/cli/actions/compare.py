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
from idlescope.cli.options import FIRST_LAST, Output
from idlescope.cli.status import counting
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
    words: Sequence[str], selection: Selection, per: str | None, output: Output, as_markdown: bool
) -> None:
    """Read every recording once, compare, print; write the folder where one is given."""
    console = Console(stderr=output.as_json or as_markdown)
    sides = split(words)
    comparisons = {
        mode: _compare(console, paths, selection, per)
        for mode, paths in by_mode(sides, selection.mode).items()
    }
    written: list[Path] = []
    if output.folder is not None:
        for path in chain.from_iterable(sides):
            output_folder.claim(output.folder, output.force, path)
        with console.status("writing"):
            written = comparison_report.write(comparisons, output.folder)
    if output.as_json:
        sys.stdout.write(to_text(report.to_json(comparisons)))
    elif as_markdown:
        sys.stdout.write(report.to_markdown(comparisons))
    else:
        for mode, several in comparisons.items():
            for comparison in several:
                _show(console, mode, comparison)
        for path in written:
            console.print(plain(f"  {path}"))


def _show(console: Console, mode: str, comparison: Comparison) -> None:
    """Print what changed from one side to another."""
    if mode:
        console.print(plain(mode, "bold"))
    console.print(report.table(comparison))
    console.print(plain(comparison.verdict.text, "bold"))
    for warning in comparison.warnings:
        console.print(plain(warning, "yellow"))
    legend = f"{report.MARK} and bold: more than noise. Noise: {comparison.noise}."
    console.print(plain(legend, "dim"))


def split(words: Sequence[str]) -> list[list[Path]]:
    """Return the sides: what stands between the words `vs`, or each path by itself without one.

    Raises ConfigError where a side is empty, or where there are more than letters.
    """
    if SEPARATOR not in words:
        sides = [[Path(word)] for word in words]
    else:
        sides = [[]]
        for word in words:
            if word == SEPARATOR:
                sides.append([])
            else:
                sides[-1].append(Path(word))
    if not all(sides):
        raise ConfigError(
            f"a side of {SEPARATOR} is empty: give at least one recording on either side"
        )
    most = len(string.ascii_uppercase)
    if len(sides) > most:
        raise ConfigError(f"{len(sides)} sides are too many: give at most {most}")
    return sides


def by_mode(sides: Sequence[Sequence[Path]], mode: str | None) -> dict[str, list[list[Path]]]:
    """Return the sides' recordings for each mode to be compared.

    The mode is "" where no folder of `idlescope run` has several. One such folder alone stands for
    its modes, the one beside the other. Raises ConfigError where there is nothing to compare.
    """
    if len(sides) == 1:
        return {"": _two_modes(sides[0], mode)}
    tables = [run_folder.recordings(path) for path in chain.from_iterable(sides)]
    if mode is not None or all(len(table) < 2 for table in tables):
        return {"": _recordings(sides, mode)}
    some_folder = next(table for table in tables if table)
    common = [name for name in some_folder if all(name in table for table in tables)]
    if not common:
        raise ConfigError(
            "the folders have no mode in common: choose recordings, or one mode with --mode"
        )
    return {name: _recordings(sides, name) for name in common}


def _two_modes(side: Sequence[Path], mode: str | None) -> list[list[Path]]:
    """Return the modes of the one folder of `idlescope run` that is given, each as a side."""
    modes = run_folder.recordings(side[0]) if len(side) == 1 else {}
    if len(modes) < 2 or mode is not None:
        raise ConfigError(
            "give two recordings or more, or one folder of `idlescope run` that holds both modes; "
            f"several of one side stand before {SEPARATOR}: "
            f"BASE1 BASE2 BASE3 {SEPARATOR} NEW1 NEW2 NEW3"
        )
    return [[path] for path in modes.values()]


def _recordings(sides: Sequence[Sequence[Path]], mode: str | None) -> list[list[Path]]:
    return [[run_folder.recording(path, mode) for path in side] for side in sides]


def _compare(
    console: Console, sides: Sequence[Sequence[Path]], selection: Selection, per: str | None
) -> list[Comparison]:
    """Return what changed from the first side to each of the others."""
    recordings, options = sum(map(len, sides)), selection.options()
    letters = iter(string.ascii_uppercase)
    read_sides: list[Side] = []
    count = 0
    with console.status("reading") as status:
        for side in sides:
            samples = []
            for path in side:
                count += 1
                doing = f"reading {count} of {recordings}"
                status.update(doing)
                samples.append(read(path, counting(status, doing, "events"), **options))
            read_sides.append(Side(next(letters), tuple(samples)))
        status.update("comparing")
        base, *others = read_sides
        return [of_sides(base, other, per) for other in others]
