"""What the trace holds, and so what the figures rest on."""

from __future__ import annotations

from typing import Any

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside


def fill(material: Material) -> FragmentData | None:
    """Return every figure of coverage; None where no device was seen."""
    work_lines = material.page.lines
    if not work_lines:
        return None
    coverages = [line.result.coverage.to_json() for line in work_lines]
    table_rows = [
        (_label(figure), [_cell(coverage[figure]) for coverage in coverages])
        for figure in coverages[0]
    ]
    return {"columns": [line.title for line in work_lines], "rows": table_rows}


def _label(figure: str) -> str:
    return figure.replace("_pct", ", %").replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "–"
    return str(value)


SECTION = Section("Coverage: what the trace holds", fragment_beside(__file__), fill)
