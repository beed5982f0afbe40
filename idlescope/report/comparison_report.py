"""Write a comparison into a folder: its page, Markdown, JSON and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from idlescope.report.figures import comparison as comparison_figure
from idlescope.report.figures.style import save
from idlescope.report.page.comparison import page
from idlescope.report.tables.comparison import Comparisons, to_json, to_markdown
from idlescope.report.text import to_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


REPORT = "report.html"


def write(comparisons: Comparisons, folder: Path) -> list[Path]:
    """Write a comparison into a folder that is there; return the paths, the page first."""
    page.write(comparisons, folder / REPORT)
    markdown_path = folder / "comparison.md"
    markdown_path.write_text(to_markdown(comparisons), encoding="utf-8")
    json_path = folder / "comparison.json"
    json_path.write_text(to_text(to_json(comparisons)), encoding="utf-8")
    figures = _figures(comparisons)
    saved = save(figures, folder / "figures")
    return [folder / REPORT, markdown_path, json_path, *saved]


def _figures(comparisons: Comparisons) -> dict[str, Figure]:
    """Return a figure for each comparison, named by its mode and, of several, by its side."""
    figures = {}
    for mode_name, several in comparisons.items():
        for comparison in several:
            letter = comparison.other.letter if len(several) > 1 else ""
            figure_name = "-".join(filter(None, ("comparison", mode_name, letter)))
            figures[figure_name] = comparison_figure.draw(comparison)
    return figures
