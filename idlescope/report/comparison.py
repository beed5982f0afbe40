"""A comparison on the terminal, as a picture and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from idlescope.analysis.compare import SCHEMA
from idlescope.analysis.comparison import Change, Comparison, amount
from idlescope.report import figures, markdown
from idlescope.report.palette import BLUE, GREY, VERMILION
from idlescope.report.terminal import plain, shorten
from idlescope.report.text import to_text, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS_SHOWN = 12
NAME_WIDTH = 46
COLUMNS = ("change", "95 % interval", "of the figure", "of the change")
MARK = "*"
Comparisons = Mapping[str, Sequence[Comparison]]  # by mode, "" where there are none


def shown(comparison: Comparison) -> list[Change]:
    """Return the largest parts, and the sum of the others, so that those shown add up, too."""
    parts = [p for p in comparison.parts if p.base or p.other]
    large, small = parts[:PARTS_SHOWN], parts[PARTS_SHOWN:]
    if small:
        name = f"{len(small)} smaller ones"
        large.append(Change(name, sum(p.base for p in small), sum(p.other for p in small), None))
    return large


def cells(comparison: Comparison, change: Change, share: bool) -> list[str]:
    """Return a figure's row: both sides, change, interval, change in per cent of itself and of the whole change."""
    unit = comparison.unit
    interval = "–"
    if change.interval is not None:
        interval = " to ".join(amount(end, unit, "+") for end in change.interval)
    percents = (change.percent, "+.2f"), (comparison.share(change) if share else None, ".0f")
    return [
        amount(change.base, unit), amount(change.other, unit), amount(change.change, unit, "+"), interval,
        *("–" if value is None else f"{value:{form}} %" for value, form in percents),
    ]  # fmt: skip


def rows(comparison: Comparison) -> list[list[tuple[Change, list[str]]]]:
    """Return the rows of a comparison's table in three groups: the headline, its parts, further figures."""
    c = comparison
    further = [f for f in c.figures if f.base or f.other]
    return [
        [(c.headline, cells(c, c.headline, share=False))],
        [(p, cells(c, p, share=True)) for p in shown(c)],
        [(f, cells(c, f, share=False)) for f in further],
    ]


def table(comparison: Comparison) -> Table:
    """Return the comparison; figures that differ by more than noise are marked."""
    c = comparison
    made = Table(title=plain(f"{c.base.label}   {c.other.label}"), title_justify="left")
    made.add_column("")
    for column in (c.base.letter, c.other.letter, *COLUMNS):
        made.add_column(plain(column), justify="right")
    for group in rows(c):
        for change, row in group:
            style = "bold" if change.different else ""
            name = f"{MARK if change.different else ' '} {shorten(change.name, NAME_WIDTH)}"
            made.add_row(plain(name, style), *(plain(cell, style) for cell in row))
        made.add_section()
    return made


def figure(comparison: Comparison) -> Figure:
    """Draw by how much each part changed, with its interval; the parts add up to the bar on top."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    c = comparison
    bars = [c.headline, *shown(c)]
    scale = 1.0 if c.unit == "window" else 1e6
    with mpl.rc_context(figures.STYLE):  # type: ignore[arg-type]
        made = Figure(figsize=(9, 0.3 * len(bars) + 1.4), layout="constrained")
        FigureCanvasAgg(made)
        axis = made.subplots()
        for y, bar in enumerate(bars):
            color = GREY if not bar.different and bar.margin is not None else VERMILION if bar.change > 0 else BLUE
            axis.barh(y, bar.change / scale, color=color, height=0.65)
            if bar.margin:
                axis.errorbar(bar.change / scale, y, xerr=bar.margin / scale, color="black", capsize=2, linewidth=0.8)
        axis.set_yticks(range(len(bars)), [visible(shorten(b.name)).replace("$", r"\$") for b in bars])
        axis.invert_yaxis()
        axis.axvline(0, color="black", linewidth=0.8)
        axis.axhline(0.5, color=GREY, linewidth=0.8)
        axis.set_xlabel("change, points of the window" if c.unit == "window" else f"change, ms a {c.unit}")
        names = [visible(Path(side.samples[0].path).name).replace("$", r"\$") for side in (c.base, c.other)]
        kinds = [", modelled" if side.samples[0].modelled else "" for side in (c.base, c.other)]
        axis.set_title(
            f"{c.base.letter} ({names[0]}{kinds[0]}) to {c.other.letter} ({names[1]}{kinds[1]}); grey: noise"
        )
    return made


def to_json(comparisons: Comparisons) -> dict[str, Any]:
    """Return the document of `compare --json` (README.md, "JSON")."""
    entries = [{"mode": mode or None, **c.to_json()} for mode, several in comparisons.items() for c in several]
    return {"schema": SCHEMA, "comparisons": entries}


def to_markdown(comparisons: Comparisons) -> str:
    """Return every comparison as Markdown, for a pull request."""
    return "\n".join(
        markdown.section(
            mode, c.verdict.text, [side.label for side in (c.base, c.other)],
            [c.base.letter, c.other.letter, *COLUMNS],
            [(x.name, row, x.different) for group in rows(c) for x, row in group],
            [*c.warnings, f"Noise: {c.noise}."],
        )
        for mode, several in comparisons.items()
        for c in several
    )  # fmt: skip


def write(comparisons: Comparisons, folder: Path) -> list[Path]:
    """Write the comparison's Markdown, JSON and figures into a folder that is there; return the paths."""
    drawn = {
        "-".join(filter(None, ("comparison", mode, c.other.letter if len(several) > 1 else ""))): figure(c)
        for mode, several in comparisons.items()
        for c in several
    }
    (folder / "comparison.md").write_text(to_markdown(comparisons), encoding="utf-8")
    (folder / "comparison.json").write_text(to_text(to_json(comparisons)), encoding="utf-8")
    return [folder / "comparison.md", folder / "comparison.json", *figures.save(drawn, folder / "figures")]
