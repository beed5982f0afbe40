"""`idlescope compare`."""

from __future__ import annotations

import string
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from idlescope.analysis.comparison.blocks import Sample
from idlescope.analysis.comparison.change import Comparison, Side
from idlescope.analysis.comparison.compare import of_sides, read
from idlescope.analysis.steps.window import FIRST_LAST
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
    """What of every trace is looked at."""

    mode: str | None = None
    window: str = FIRST_LAST
    device: tuple[int, ...] = ()
    process: str | None = None
    phases: Path | None = None

    def options(self) -> dict[str, Any]:
        """Return them as options of `analyze`."""
        engines = None if self.phases is None else user_file.load(self.phases)
        return {
            "window": self.window, "devices": self.device or None, "process": self.process, "phases": engines,
        }  # fmt: skip


def compare_command(
    words: Sequence[str], selection: Selection, per: str | None, out: Path | None, force: bool, as_json: bool,
    as_markdown: bool,
) -> None:  # fmt: skip
    """Read every recording once, compare, print; write the folder where one is given."""
    console = Console(stderr=as_json or as_markdown)
    sides = split(words)
    comparisons = {
        m: _compare(console, paths, selection, per)
        for m, paths in by_mode(sides, selection.mode).items()
    }
    written: list[Path] = []
    if out is not None:
        for path in (path for side in sides for path in side):
            output_folder.claim(out, force, path)
        with console.status("writing"):
            written = comparison_report.write(comparisons, out)
    if as_json or as_markdown:
        sys.stdout.write(
            to_text(report.to_json(comparisons)) if as_json else report.to_markdown(comparisons)
        )
        return
    for mode, several in comparisons.items():
        for c in several:
            if mode:
                console.print(plain(mode, "bold"))
            console.print(report.table(c))
            console.print(plain(c.verdict.text, "bold"))
            for warning in c.warnings:
                console.print(plain(warning, "yellow"))
            console.print(
                plain(f"{report.MARK} and bold: more than noise. Noise: {c.noise}.", "dim")
            )
    for path in written:
        console.print(plain(f"  {path}"))


def split(words: Sequence[str]) -> list[list[Path]]:
    """Return the sides: what stands between the words `vs`, or each path by itself where there is no such word."""
    if SEPARATOR not in words:
        sides = [[word] for word in words]
    else:
        sides = [[]]
        for word in words:
            if word == SEPARATOR:
                sides.append([])
            else:
                sides[-1].append(word)
    if not all(sides):
        raise ConfigError(
            f"a side of {SEPARATOR} is empty: give at least one recording on either side"
        )
    if len(sides) > len(string.ascii_uppercase):
        raise ConfigError(
            f"{len(sides)} sides are too many: give at most {len(string.ascii_uppercase)}"
        )
    return [[Path(word) for word in side] for side in sides]


def by_mode(sides: Sequence[Sequence[Path]], mode: str | None) -> dict[str, list[list[Path]]]:
    """Return the sides' recordings for each mode to be compared: "" where no folder of `idlescope run` has several.

    One such folder alone stands for its modes, the one beside the other.
    """
    if len(sides) == 1:
        found = run_folder.recordings(sides[0][0]) if len(sides[0]) == 1 else {}
        if len(found) < 2 or mode is not None:
            raise ConfigError(
                "give two recordings or more, or one folder of `idlescope run` that holds both modes; several of one "
                f"side stand before {SEPARATOR}: BASE1 BASE2 BASE3 {SEPARATOR} NEW1 NEW2 NEW3"
            )
        return {"": [[path] for path in found.values()]}
    tables = [run_folder.recordings(path) for side in sides for path in side]
    several = mode is None and any(len(t) > 1 for t in tables)
    if not several:
        return {"": [[run_folder.recording(path, mode) for path in side] for side in sides]}
    common = [m for m in next(t for t in tables if t) if all(m in t for t in tables)]
    if not common:
        raise ConfigError(
            "the folders have no mode in common: choose recordings, or one mode with --mode"
        )
    return {m: [[run_folder.recording(path, m) for path in side] for side in sides] for m in common}


def _compare(
    console: Console, sides: Sequence[Sequence[Path]], selection: Selection, per: str | None
) -> list[Comparison]:  # fmt: skip
    """Return what changed from the first side to each of the others."""
    count, options = sum(map(len, sides)), selection.options()
    samples: list[list[Sample]] = []
    with console.status("reading") as status:
        for side in sides:
            samples.append([])
            for path in side:
                doing = f"reading {sum(map(len, samples)) + 1} of {count}"
                status.update(doing)
                samples[-1].append(read(path, counting(status, doing, "events"), **options))
        status.update("comparing")
        named = [
            Side(letter, tuple(s))
            for letter, s in zip(string.ascii_uppercase, samples, strict=False)
        ]
        return [of_sides(named[0], other, per) for other in named[1:]]
