"""What the words of the page mean: its verdicts, what numbers are of, and the causes."""

from __future__ import annotations

from collections.abc import Iterator

from idlescope.analysis.explain.entry import Entry
from idlescope.analysis.explain.words import explained
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside

ALWAYS = ("window", "active", "compute", "idle", "host", "launch", "queued", "unattributed")
OF_REQUESTS = ("TTFT", "time per output token", "latency")
OVER_REQUESTS = "Over the requests that finished; percentiles are interpolated linearly."


def fill(material: Material) -> FragmentData | None:
    """Return the entries of the words that the page has."""
    return {
        "entries": list(_entries(material)),
        "note": OVER_REQUESTS if material.page.latencies else "",
    }


def _entries(material: Material) -> Iterator[Entry]:
    """Yield the verdicts on the lines of work, then the terms, in the order of the page."""
    page = material.page
    kinds = (str(work_line.result.verdict.kind) for work_line in page.lines)
    of_requests = OF_REQUESTS if page.latencies else ()
    for word in dict.fromkeys((*kinds, *ALWAYS, "roofline", *of_requests)):
        yield explained(word)


SECTION = Section("What the numbers mean", fragment_beside(__file__), fill, folded=True)
