"""Write a comparison into a folder: Markdown, JSON and figures."""

from __future__ import annotations

from pathlib import Path

from idlescope.report.figures import comparison as comparison_figure
from idlescope.report.figures.style import save
from idlescope.report.tables.comparison import Comparisons, to_json, to_markdown
from idlescope.report.text import to_text


def write(comparisons: Comparisons, folder: Path) -> list[Path]:
    """Write a comparison into a folder that is there; return the paths."""
    figures = {}
    for mode, several in comparisons.items():
        for comparison in several:
            letter = comparison.other.letter if len(several) > 1 else ""
            name = "-".join(filter(None, ("comparison", mode, letter)))
            figures[name] = comparison_figure.draw(comparison)
    markdown_path, json_path = folder / "comparison.md", folder / "comparison.json"
    markdown_path.write_text(to_markdown(comparisons), encoding="utf-8")
    json_path.write_text(to_text(to_json(comparisons)), encoding="utf-8")
    return [markdown_path, json_path, *save(figures, folder / "figures")]
