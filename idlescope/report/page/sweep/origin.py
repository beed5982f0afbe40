"""How a sweep was run, and what lies beside its page."""

from __future__ import annotations

from typing import Any

from idlescope.report.page.section import FragmentData, Section, fragment_beside

FILES = ("sweep.json", "table.csv", "table.parquet")


def fill(document: dict[str, Any]) -> FragmentData | None:
    """Return the options that all cells share, where they ran, and files."""
    given = {
        f"--{name.replace('_', '-')}": value
        for name, value in document["options"].items()
        if value is not None and not isinstance(value, bool)
    }
    return {
        "options": given,
        "environment": document["environment"],
        "files": FILES if document["rows"] else FILES[:1],
    }


SECTION = Section("How it was run", fragment_beside(__file__), fill, folded=True)
