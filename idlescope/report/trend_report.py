"""Write the trend of a history into a folder: Markdown, the document of the checks, figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idlescope.analysis.history.file import History
from idlescope.analysis.history.trend import Trend
from idlescope.report.tables.trends import to_markdown
from idlescope.report.text import to_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write(
    trends: Sequence[Trend], history: History, document: dict[str, Any], folder: Path
) -> list[Path]:
    """Write into a folder that is there; return the paths, Markdown first."""
    from idlescope.report.figures.style import save

    markdown_path, json_path = folder / "trend.md", folder / "check.json"
    markdown_path.write_text(to_markdown(trends, history), encoding="utf-8")
    json_path.write_text(to_text(document), encoding="utf-8")
    saved = save(_figures(trends), folder / "figures")
    return [markdown_path, json_path, *saved]


def _figures(trends: Sequence[Trend]) -> dict[str, Figure]:
    """Return the one figure, which has a panel for each trend."""
    from idlescope.report.figures import trend as trend_figure

    return {"trend": trend_figure.draw(trends)}
