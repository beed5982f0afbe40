"""What changed: the headline and the parts that add up to it, each with a bar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from idlescope.analysis.comparison.change import Change, Comparison
from idlescope.palette import BLUE, GREY, VERMILION
from idlescope.report.page.section import FragmentData, Section, fragment_beside
from idlescope.report.tables.comparison import COLUMNS, Comparisons, change_rows, columns
from idlescope.report.text import shorten

MIDDLE = 50.0  # % of a bar's room: no change


class ChangeBar(NamedTuple):
    """From where to where a bar goes, in % of its room, and the whisker of its margin."""

    left: float
    width: float
    colour: str
    low: float
    high: float


class ChangeLine(NamedTuple):
    """One figure of both sides."""

    name: str
    cells: list[str]  # of both sides, the change, the change in per cent, its share
    different: bool
    bar: ChangeBar


class ChangeTable(NamedTuple):
    """The headline and the parts of one comparison."""

    title: str
    columns: list[str]
    headline: ChangeLine
    parts: list[ChangeLine]
    warnings: tuple[str, ...]
    noise: str


def fill(comparisons: Comparisons) -> FragmentData | None:
    """Return a table for each comparison."""
    return {"tables": list(_tables(comparisons)), "share": COLUMNS[-1]}


def title_of(mode: str, comparison: Comparison) -> str:
    """Return what a comparison is of."""
    sides = f"{comparison.base.letter} to {comparison.other.letter}"
    return f"{mode}: {sides}" if mode else sides


def _tables(comparisons: Comparisons) -> Iterator[ChangeTable]:
    for mode, several in comparisons.items():
        for comparison in several:
            (headline, *_), parts, _ = change_rows(comparison)
            furthest = _furthest([headline[0], *(part for part, _ in parts)])
            yield ChangeTable(
                title=title_of(mode, comparison),
                columns=columns(comparison),
                headline=_line(*headline, furthest),
                parts=[_line(change, cells, furthest) for change, cells in parts],
                warnings=comparison.warnings,
                noise=comparison.noise,
            )


def _furthest(changes: list[Change]) -> float:
    """Return the furthest that a bar or its whisker goes from no change."""
    return max(abs(change.change) + (change.margin or 0.0) for change in changes) or 1.0


def _line(change: Change, cells: list[str], furthest: float) -> ChangeLine:
    end = MIDDLE + MIDDLE * change.change / furthest
    margin = MIDDLE * (change.margin or 0.0) / furthest
    left, right = sorted((MIDDLE, end))
    is_noise = not change.different and change.margin is not None
    colour = GREY if is_noise else VERMILION if change.change > 0 else BLUE
    bar = ChangeBar(left, right - left, colour, end - margin, end + margin)
    return ChangeLine(shorten(change.name), cells, change.different, bar)


SECTION = Section("What changed", fragment_beside(__file__), fill)
