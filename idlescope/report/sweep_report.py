"""Write a sweep into a folder: the document, the table of its cells, and heat maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from idlescope.report.figures import heatmap
from idlescope.report.figures.style import save
from idlescope.report.tables.sweep import mark, write_rows


def write(summary: dict[str, Any], folder: Path) -> list[Path]:
    """Write sweep.json; the table and the heat maps where any cell ran. Return the paths."""
    written = [mark(summary, folder)]
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
