"""Which recordings were compared, and what lies beside the page."""

from __future__ import annotations

from itertools import chain

from idlescope.analysis.comparison.change import Side
from idlescope.report.page.section import FragmentData, Section, fragment_beside
from idlescope.report.tables.comparison import Comparisons

FILES = ("comparison.md", "comparison.json")


def fill(comparisons: Comparisons) -> FragmentData | None:
    """Return the sides, each with its recordings, and files."""
    sides: dict[str, list[str]] = {}
    for comparison in chain.from_iterable(comparisons.values()):
        for side in (comparison.base, comparison.other):
            sides.setdefault(side.letter, []).extend(_recordings(side))
    told = [(letter, list(dict.fromkeys(paths))) for letter, paths in sides.items()]
    return {"sides": told, "files": FILES}


def _recordings(side: Side) -> list[str]:
    modelled = " (modelled, not measured)" if side.first.modelled else ""
    return [
        f"{recording.path}: {recording.device_name}{modelled}, {recording.step_count:,} steps"
        for recording in side.recordings
    ]


SECTION = Section("What was compared", fragment_beside(__file__), fill, folded=True)
