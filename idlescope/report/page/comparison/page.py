"""The page of a comparison: what changed from one side to another, and whether that is noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from idlescope.analysis.comparison.change import Change, Comparison
from idlescope.report.page import frame
from idlescope.report.page.comparison import changes, figures, sides
from idlescope.report.page.content import Head, Tile
from idlescope.report.page.section import Section
from idlescope.report.page.tiles import sentences
from idlescope.report.tables.comparison import Comparisons, Unit, unit_of
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
    first, *others = chain.from_iterable(comparisons.values())
    verdict, *further = sentences(first.verdict.text)
    further += [comparison.verdict.text for comparison in others]
    both_sides = (first.base, first.other)
    side_names = [f"{side.letter} ({Path(side.first.path).name})" for side in both_sides]
    return Head(
        title=f"Comparison of {' and '.join(side_names)}",
        verdict=verdict,
        measured=_how_measured([side.first.modelled for side in both_sides]),
        further=further,
        tiles=list(_tiles(first)),
    )


def _how_measured(modelled: Sequence[bool]) -> str:
    if not any(modelled):
        return "as recorded"
    return "modelled, not measured" if all(modelled) else "a modelled side"


def _tiles(comparison: Comparison) -> Iterator[Tile]:
    time_unit, headline = unit_of(comparison), comparison.headline
    base_text, other_text = (
        f"{value / time_unit.scale:,.3f} {time_unit.name}"
        for value in (headline.base, headline.other)
    )
    base, other = comparison.base, comparison.other
    yield Tile(f"{headline.name}, {base.letter}", base_text, base.batching)
    yield Tile(f"{headline.name}, {other.letter}", other_text, other.batching)
    yield Tile("change", _percent(headline), _noise_note(headline, time_unit))
    largest = max(comparison.parts, key=lambda part: abs(part.change), default=None)
    if largest is not None and largest.change:
        part_name = shorten(largest.name, MAX_NAME)
        yield Tile("largest part of it", part_name, _amount(largest, time_unit))


def _percent(change: Change) -> str:
    return NOTHING if change.percent is None else f"{change.percent:+.1f} %"


def _amount(change: Change, time_unit: Unit) -> str:
    return f"{change.change / time_unit.scale:+,.3f} {time_unit.name}"


def _noise_note(change: Change, time_unit: Unit) -> str:
    amount = _amount(change, time_unit)
    if change.margin is None:
        return f"{amount}; noise is not known"
    verdict = "more than noise" if change.different else "within noise or too small"
    return f"{amount} ± {change.margin / time_unit.scale:,.3f}, {verdict}"
