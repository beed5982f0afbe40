"""What asynchronous batching and further changes would give, beside what was measured."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.tables.predictions import COLUMNS, TOKENS, rows


def fill(material: Material) -> FragmentData | None:
    """Return sentences, and a table of changes for each line; None where nothing is predicted."""
    tables = []
    for line in material.page.lines:
        prediction = line.result.prediction
        if prediction is None:
            continue
        tokens_known = prediction.recorded.tokens is not None
        kept = [
            number for number, name in enumerate(COLUMNS) if tokens_known or name != TOKENS
        ]
        shown = [(label, [cells[n] for n in kept]) for label, cells in rows(prediction)]
        tables.append((line.title, [COLUMNS[number] for number in kept], shown))
    predictions = material.page.predictions
    if not predictions and not tables:
        return None
    return {"predictions": predictions, "tables": tables}


SECTION = Section("What changes would give", fragment_beside(__file__), fill, folded=True)
