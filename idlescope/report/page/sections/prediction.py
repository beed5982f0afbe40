"""What asynchronous batching was predicted to give, and what it gave."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside


def fill(material: Material) -> FragmentData | None:
    """Return sentences and the picture of host cost; None where there are neither."""
    predictions, picture = material.page.predictions, material.pictures["cost"]
    if not predictions and picture is None:
        return None
    return {"predictions": predictions, "picture": picture}


SECTION = Section("Prediction and measurement", fragment_beside(__file__), fill)
