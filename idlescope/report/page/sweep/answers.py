"""What a sweep says in words: when each model stops idling, and what asynchrony gives."""

from __future__ import annotations

from typing import Any

from idlescope.report.page.section import FragmentData, Section, fragment_beside


def fill(document: dict[str, Any]) -> FragmentData | None:
    """Return the answers; None where there are none."""
    return {"answers": document["answers"]} if document["answers"] else None


SECTION = Section("From which batch size on", fragment_beside(__file__), fill, folded=True)
