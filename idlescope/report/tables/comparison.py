"""A comparison as a table, for the terminal and for Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from rich.table import Table
from rich.text import Text

from idlescope.analysis.comparison.change import Change, Comparison
from idlescope.analysis.comparison.documents import COMPARE_SCHEMA, ComparisonsDocument
from idlescope.report.markdown import MarkdownRow, MarkdownSection
from idlescope.report.tables.terminal import plain
from idlescope.report.text import NOTHING, shorten

MAX_PARTS = 12
SMALL_SHARE = 0.001  # of the headline: smaller parts are summed up
NAME_WIDTH = 40
MILLISECONDS_FROM_NS = 1e5  # shorter steps are shown in microseconds
WHOLE_PERCENT_FROM = 1000  # larger changes are shown without decimals, %
COLUMNS = ("change ± 95 %", "in %", "share")
MARK = "*"  # of a change that is more than noise
Comparisons = Mapping[str, Sequence[Comparison]]  # by mode, "" where there are none
ChangeRow = tuple[Change, list[str]]  # a change and its cells


class Unit(NamedTuple):
    """What the figures of a comparison are shown in."""

    scale: float  # what they are divided by
    name: str


def unit_of(comparison: Comparison) -> Unit:
    """Return the unit that suits a comparison's headline."""
    if comparison.unit == "window":
        return Unit(1.0, "%")
    if comparison.headline.base >= MILLISECONDS_FROM_NS:
        return Unit(1e6, "ms")
    return Unit(1e3, "µs")


def parts_shown(comparison: Comparison) -> list[Change]:
    """Return the largest parts, and the sum of the others: those shown add up, too."""
    headline = comparison.headline
    least = SMALL_SHARE * max(headline.base, headline.other)
    large = [
        part for part in comparison.parts if max(part.base, part.other, abs(part.change)) >= least
    ]
    shown = large[:MAX_PARTS]
    small = [part for part in comparison.parts if part not in shown and (part.base or part.other)]
    if small:
        name = f"{len(small)} smaller" if len(small) > 1 else small[0].name
        base = sum(part.base for part in small)
        other = sum(part.other for part in small)
        shown.append(Change(name, base, other, None))
    return shown


def columns(comparison: Comparison) -> list[str]:
    """Return the names of the columns of `change_rows`."""
    unit = unit_of(comparison).name
    sides = (comparison.base, comparison.other)
    return [f"{side.letter}, {unit}" for side in sides] + list(COLUMNS)


def change_rows(comparison: Comparison) -> list[list[ChangeRow]]:
    """Return the rows of the table in three groups: the headline, its parts, further figures."""
    headline = comparison.headline
    further = [figure for figure in comparison.figures if figure.base or figure.other]
    return [
        [(headline, _cells(comparison, headline, NOTHING))],
        [(part, _part_cells(comparison, part)) for part in parts_shown(comparison)],
        [(figure, _cells(comparison, figure, NOTHING)) for figure in further],
    ]


def _part_cells(comparison: Comparison, part: Change) -> list[str]:
    """Return the cells of a part, with its share of the whole change."""
    share = comparison.share(part)
    return _cells(comparison, part, NOTHING if share is None else f"{round(share)} %")


def _cells(comparison: Comparison, change: Change, share: str) -> list[str]:
    """Return both sides, the change with its margin, the change in per cent, and the share."""
    scale = unit_of(comparison).scale
    margin = "" if change.margin is None else f" ± {change.margin / scale:,.3f}"
    return [
        f"{change.base / scale:,.3f}",
        f"{change.other / scale:,.3f}",
        f"{change.change / scale:+,.3f}{margin}",
        _in_percent(change),
        share,
    ]


def _in_percent(change: Change) -> str:
    if change.percent is None:
        return NOTHING
    decimals = 0 if abs(change.percent) >= WHOLE_PERCENT_FROM else 2
    return f"{change.percent:+,.{decimals}f} %"


def table(comparison: Comparison) -> Table:
    """Return the comparison; figures that differ by more than noise are marked."""
    sides = (comparison.base, comparison.other)
    title = Text("\n").join(plain(side.label) for side in sides)
    made = Table(title=title, title_justify="left")
    made.add_column("")
    for column in columns(comparison):
        made.add_column(plain(column), justify="right")
    for group in change_rows(comparison):
        for change, cells in group:
            mark, style = (MARK, "bold") if change.different else (" ", "")
            name = plain(f"{mark} {shorten(change.name, NAME_WIDTH)}", style)
            made.add_row(name, *(plain(cell, style) for cell in cells))
        made.add_section()
    return made


def to_json(comparisons: Comparisons) -> dict[str, Any]:
    """Return the document of `compare --json` (report/README.md)."""
    entries = [
        comparison.document(mode) for mode, several in comparisons.items() for comparison in several
    ]
    document = ComparisonsDocument(COMPARE_SCHEMA, entries)
    return dict(msgspec.to_builtins(document))


def to_markdown(comparisons: Comparisons) -> str:
    """Return every comparison as Markdown, for a pull request."""
    return "\n".join(
        _section(mode, comparison).to_text()
        for mode, several in comparisons.items()
        for comparison in several
    )


def _section(mode: str, comparison: Comparison) -> MarkdownSection:
    rows = [
        MarkdownRow(change.name, cells, bold=change.different)
        for group in change_rows(comparison)
        for change, cells in group
    ]
    return MarkdownSection(
        heading=mode,
        verdict=comparison.verdict.text,
        intro=[comparison.base.label, comparison.other.label],
        columns=columns(comparison),
        rows=rows,
        notes=[*comparison.warnings, f"Noise: {comparison.noise}."],
    )
