"""A comparison as a table, for the terminal and for Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from rich.table import Table
from rich.text import Text

from idlescope.analysis.comparison.change import Change, Comparison
from idlescope.analysis.comparison.documents import COMPARE_SCHEMA, ComparisonsDocument
from idlescope.analysis.idle.host_labels import RANGE_PREFIX
from idlescope.report.markdown import MarkdownRow, MarkdownSection
from idlescope.report.tables.terminal import NARROW, empty_table, plain
from idlescope.report.text import NOTHING, shorten

MAX_PARTS = 12
FEW_PARTS = 4  # of the first look
SMALL_SHARE = 0.001  # of the headline: smaller parts are summed up
NAME_WIDTH = 40
NARROW_NAME_WIDTH = 25
WIDE = 95  # columns of a terminal that has room for whole names
MILLISECONDS_FROM_NS = 1e5  # shorter steps are shown in microseconds
WHOLE_PERCENT_FROM = 1000  # larger changes are shown without decimals, %
IN_PERCENT = ("in %", "share")
COLUMNS = ("change ± 95 %", *IN_PERCENT)
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


def parts_shown(comparison: Comparison, most: int = MAX_PARTS) -> list[Change]:
    """Return the largest parts, and the sum of the others: those shown add up, too."""
    headline = comparison.headline
    least_change = SMALL_SHARE * max(headline.base, headline.other)
    large_parts = [
        part
        for part in comparison.parts
        if max(part.base, part.other, abs(part.change)) >= least_change
    ]
    shown_parts = large_parts[:most]
    small_parts = [
        part
        for part in comparison.parts
        if part not in shown_parts and (part.base or part.other)
    ]
    if small_parts:
        rest_name = (
            f"{len(small_parts)} smaller" if len(small_parts) > 1 else small_parts[0].name
        )
        base_total = sum(part.base for part in small_parts)
        other_total = sum(part.other for part in small_parts)
        shown_parts.append(Change(rest_name, base_total, other_total, None))
    return shown_parts


def columns(comparison: Comparison) -> list[str]:
    """Return the names of the columns of `change_rows`."""
    unit_name = unit_of(comparison).name
    both_sides = (comparison.base, comparison.other)
    return [f"{side.letter}, {unit_name}" for side in both_sides] + list(COLUMNS)


def change_rows(comparison: Comparison, most: int = MAX_PARTS) -> list[list[ChangeRow]]:
    """Return the rows of the table in three groups: the headline, its parts, further figures.

    Of the parts `most` stand by themselves, and the others together.
    """
    headline = comparison.headline
    further = [figure for figure in comparison.figures if figure.base or figure.other]
    return [
        [(headline, _cells(comparison, headline, NOTHING))],
        [(part, _part_cells(comparison, part)) for part in parts_shown(comparison, most)],
        [(figure, _cells(comparison, figure, NOTHING)) for figure in further],
    ]


def _part_cells(comparison: Comparison, part: Change) -> list[str]:
    """Return the cells of a part, with its share of the whole change."""
    share_of_change = comparison.share(part)
    return _cells(
        comparison,
        part,
        NOTHING if share_of_change is None else f"{round(share_of_change)} %",
    )


def _cells(comparison: Comparison, change: Change, share: str) -> list[str]:
    """Return both sides, the change with its margin, the change in per cent, and the share."""
    unit_scale = unit_of(comparison).scale
    margin = "" if change.margin is None else f" ± {change.margin / unit_scale:,.3f}"
    return [
        f"{change.base / unit_scale:,.3f}",
        f"{change.other / unit_scale:,.3f}",
        f"{change.change / unit_scale:+,.3f}{margin}",
        _in_percent(change),
        share,
    ]


def _in_percent(change: Change) -> str:
    if change.percent is None:
        return NOTHING
    decimals = 0 if abs(change.percent) >= WHOLE_PERCENT_FROM else 2
    return f"{change.percent:+,.{decimals}f} %"


def table(comparison: Comparison, most: int = MAX_PARTS, width: int = WIDE) -> Table:
    """Return the comparison with its `most` largest parts.

    Figures that differ by more than noise are marked. Where a terminal of `width` columns is narrow
    the changes in per cent and the shares are left out: both follow from the other columns.
    """
    left_out = len(IN_PERCENT) if width < NARROW else 0
    name_width = NAME_WIDTH if width >= WIDE else NARROW_NAME_WIDTH
    both_sides = (comparison.base, comparison.other)
    table_title = Text("\n").join(plain(side.label) for side in both_sides)
    changes_table = empty_table("")
    changes_table.title = table_title
    changes_table.add_column("")
    shown_columns = len(columns(comparison)) - left_out
    for column in columns(comparison)[:shown_columns]:
        changes_table.add_column(plain(column), justify="right", no_wrap=True)
    for row_group in change_rows(comparison, most):
        for change, row_cells in row_group:
            change_mark, row_style = (MARK, "bold") if change.different else (" ", "")
            shown_name = shorten(change.name.replace(RANGE_PREFIX, ""), name_width)
            change_name = plain(f"{change_mark} {shown_name}", row_style)
            shown_cells = row_cells[:shown_columns]
            changes_table.add_row(
                change_name, *(plain(cell, row_style) for cell in shown_cells)
            )
        changes_table.add_section()
    return changes_table


def to_json(comparisons: Comparisons) -> dict[str, Any]:
    """Return the document of `compare --json` (report/README.md)."""
    entries = [
        comparison.document(mode_name)
        for mode_name, several in comparisons.items()
        for comparison in several
    ]
    document = ComparisonsDocument(COMPARE_SCHEMA, entries)
    return dict(msgspec.to_builtins(document))


def to_markdown(comparisons: Comparisons) -> str:
    """Return every comparison as Markdown, for a pull request."""
    return "\n".join(
        _section(mode_name, comparison).to_text()
        for mode_name, several in comparisons.items()
        for comparison in several
    )


def _section(mode: str, comparison: Comparison) -> MarkdownSection:
    section_rows = [
        MarkdownRow(change.name, cells, bold=change.different)
        for row_group in change_rows(comparison)
        for change, cells in row_group
    ]
    return MarkdownSection(
        heading=mode,
        verdict=comparison.verdict.text,
        intro=[comparison.base.label, comparison.other.label],
        columns=columns(comparison),
        rows=section_rows,
        notes=[*comparison.warnings, f"Noise: {comparison.noise}."],
    )
