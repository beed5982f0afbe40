"""The page of a comparison: what changed from one side to another, and whether that is noise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from idlescope.analysis.comparison.change import Change, Comparison
from idlescope.report.page import frame
from idlescope.report.page.comparison import changes, figures, sides
from idlescope.report.page.content import Head, Tile
from idlescope.report.page.section import Section
from idlescope.report.page.tiles import sentences
from idlescope.report.tables.comparison import Comparisons, unit_of
from idlescope.report.text import NOTHING, shorten

SECTIONS: tuple[Section[Comparisons], ...] = (
    changes.SECTION,
    figures.SECTION,
    sides.SECTION,
)
MAX_NAME = 40


def write(comparisons: Comparisons, path: Path) -> None:
    """Render the page of comparisons, of which there is one at least, into a file."""
    frame.write(path, _head(comparisons), SECTIONS, comparisons)


def _head(comparisons: Comparisons) -> Head:
    """Return the verdicts, and the figures of the first comparison."""
    every = list(chain.from_iterable(comparisons.values()))
    first = every[0]
    verdict, *further = sentences(first.verdict.text)
    further += [comparison.verdict.text for comparison in every[1:]]
    both = (first.base, first.other)
    names = " and ".join(f"{side.letter} ({Path(side.first.path).name})" for side in both)
    modelled = [side.first.modelled for side in both]
    measured = "as recorded"
    if any(modelled):
        measured = "modelled, not measured" if all(modelled) else "a modelled side"
    return Head(f"Comparison of {names}", verdict, measured, further, list(_tiles(first)))


def _tiles(comparison: Comparison) -> Iterator[Tile]:
    unit, headline = unit_of(comparison), comparison.headline
    for side, value in (
        (comparison.base, headline.base),
        (comparison.other, headline.other),
    ):
        label = f"{headline.name}, {side.letter}"
        yield Tile(label, f"{value / unit.scale:,.3f} {unit.name}", side.batching)
    yield Tile("change", _percent(headline), _noise_note(headline, unit.scale, unit.name))
    largest = max(comparison.parts, key=lambda part: abs(part.change), default=None)
    if largest is not None and largest.change:
        note = f"{largest.change / unit.scale:+,.3f} {unit.name}"
        yield Tile("largest part of it", shorten(largest.name, MAX_NAME), note)


def _percent(change: Change) -> str:
    return NOTHING if change.percent is None else f"{change.percent:+.1f} %"


def _noise_note(change: Change, scale: float, unit: str) -> str:
    amount = f"{change.change / scale:+,.3f} {unit}"
    if change.margin is None:
        return f"{amount}; noise is not known"
    verdict = "more than noise" if change.different else "within noise or too small"
    return f"{amount} ± {change.margin / scale:,.3f}, {verdict}"
