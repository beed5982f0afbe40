"""A comparison on the terminal, as a picture and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from idlescope.analysis.comparison.change import Change, Comparison
from idlescope.analysis.comparison.compare import SCHEMA
from idlescope.palette import BLUE, GREY, VERMILION
from idlescope.report import markdown
from idlescope.report.figures import figures
from idlescope.report.tables.terminal import plain, shorten
from idlescope.report.text import to_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS_SHOWN = 12
SMALL = 0.001  # of the headline: parts below are summed up
NAME_WIDTH = 40
MILLISECONDS_FROM_NS = 1e5  # shorter steps are shown in microseconds
COLUMNS = ("change ± 95 %", "in %", "share")
MARK = "*"
Comparisons = Mapping[str, Sequence[Comparison]]  # by mode, "" where there are none


def scale(comparison: Comparison) -> tuple[float, str]:
    """Return what the figures of a table or picture are divided by, and the unit that they have then."""
    if comparison.unit == "window":
        return 1.0, "%"
    return (1e6, "ms") if comparison.headline.base >= MILLISECONDS_FROM_NS else (1e3, "µs")


def shown(comparison: Comparison) -> list[Change]:
    """Return the largest parts, and the sum of the others, so that those shown add up, too."""
    least = SMALL * max(comparison.headline.base, comparison.headline.other)
    large = [p for p in comparison.parts if max(p.base, p.other, abs(p.change)) >= least][
        :PARTS_SHOWN
    ]
    small = [p for p in comparison.parts if p not in large and (p.base or p.other)]
    if small:
        name = f"{len(small)} smaller" if len(small) > 1 else small[0].name
        large.append(Change(name, sum(p.base for p in small), sum(p.other for p in small), None))
    return large


def cells(comparison: Comparison, change: Change, share: bool) -> list[str]:
    """Return a figure's row: both sides, change, change in per cent of itself and of the whole change."""
    per, _ = scale(comparison)
    margin = "" if change.margin is None else f" ± {change.margin / per:,.3f}"
    of_change = comparison.share(change) if share else None
    return [
        f"{change.base / per:,.3f}", f"{change.other / per:,.3f}", f"{change.change / per:+,.3f}{margin}",
        "–" if change.percent is None else f"{change.percent:+,.{0 if abs(change.percent) >= 1000 else 2}f} %",
        "–" if of_change is None else f"{round(of_change)} %",
    ]  # fmt: skip


def columns(comparison: Comparison) -> list[str]:
    """Return the names of the columns of `cells`."""
    _, unit = scale(comparison)
    return [f"{side.letter}, {unit}" for side in (comparison.base, comparison.other)] + list(
        COLUMNS
    )


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
    title = Text("\n").join(plain(side.label) for side in (c.base, c.other))
    made = Table(title=title, title_justify="left")
    made.add_column("")
    for column in columns(c):
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

    c = comparison
    bars = [c.headline, *shown(c)]
    per, unit = scale(c)
    with mpl.rc_context(figures.STYLE):  # type: ignore[arg-type]
        made = figures.canvas(9, 0.3 * len(bars) + 1.4)
        axis = made.subplots()
        for y, bar in enumerate(bars):
            color = (
                GREY
                if not bar.different and bar.margin is not None
                else VERMILION
                if bar.change > 0
                else BLUE
            )
            axis.barh(y, bar.change / per, color=color, height=0.65)
            if bar.margin:
                axis.errorbar(
                    bar.change / per,
                    y,
                    xerr=bar.margin / per,
                    color="black",
                    capsize=2,
                    linewidth=0.8,
                )
        axis.set_yticks(range(len(bars)), [figures.drawn_text(shorten(b.name)) for b in bars])
        axis.set_ylim(len(bars) - 0.4, -0.6)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.axhline(0.5, color=GREY, linewidth=0.8)
        axis.set_xlabel(
            "change, points of the window" if c.unit == "window" else f"change, {unit} a {c.unit}"
        )
        names = [shorten(Path(side.samples[0].path).name, NAME_WIDTH) for side in (c.base, c.other)]
        names = [figures.drawn_text(name) for name in names]
        kinds = [", modelled" if side.samples[0].modelled else "" for side in (c.base, c.other)]
        axis.set_title(
            f"{c.base.letter} ({names[0]}{kinds[0]}) to {c.other.letter} ({names[1]}{kinds[1]}); grey: noise"
        )
    return made


def to_json(comparisons: Comparisons) -> dict[str, Any]:
    """Return the document of `compare --json` (README.md, "JSON")."""
    entries = [
        {"mode": mode or None, **c.to_json()}
        for mode, several in comparisons.items()
        for c in several
    ]
    return {"schema": SCHEMA, "comparisons": entries}


def to_markdown(comparisons: Comparisons) -> str:
    """Return every comparison as Markdown, for a pull request."""
    return "\n".join(
        markdown.section(
            mode, c.verdict.text, [side.label for side in (c.base, c.other)], columns(c),
            [(x.name, row, x.different) for group in rows(c) for x, row in group],
            [*c.warnings, f"Noise: {c.noise}."],
        )
        for mode, several in comparisons.items()
        for c in several
    )  # fmt: skip


def write(comparisons: Comparisons, folder: Path) -> list[Path]:
    """Write the comparison's Markdown, JSON and figures into a folder that is there; return the paths."""
    drawn = {
        "-".join(
            filter(None, ("comparison", mode, c.other.letter if len(several) > 1 else ""))
        ): figure(c)
        for mode, several in comparisons.items()
        for c in several
    }
    (folder / "comparison.md").write_text(to_markdown(comparisons), encoding="utf-8")
    (folder / "comparison.json").write_text(to_text(to_json(comparisons)), encoding="utf-8")
    return [
        folder / "comparison.md",
        folder / "comparison.json",
        *figures.save(drawn, folder / "figures"),
    ]
