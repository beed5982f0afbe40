"""Write a sweep into a folder: its page, the document, the table of its cells, and heat maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from idlescope.report.figures import heatmap
from idlescope.report.figures.style import save
from idlescope.report.page.sweep import page
from idlescope.report.tables.sweep import mark, write_rows

REPORT = "report.html"


def write(summary: dict[str, Any], folder: Path) -> list[Path]:
    """Write sweep.json and the page; the table and the heat maps where any cell ran.

    Returns the paths, the page first.
    """
    written = [folder / REPORT, mark(summary, folder)]
    page.write(summary, folder / REPORT)
    sweep_table = summary["rows"]
    if sweep_table:
        csv_path, parquet_path = folder / "table.csv", folder / "table.parquet"
        write_rows(sweep_table, csv_path, parquet_path)
        written += [
            csv_path,
            parquet_path,
            *save(heatmap.draw(sweep_table), folder / "figures"),
        ]
    return written
