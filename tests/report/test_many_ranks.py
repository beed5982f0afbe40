"""The report of many ranks is the same whether their traces were read together or side by side."""

from __future__ import annotations

import json
import re

import idlescope
from idlescope.analysis.ranks.asked import RankOptions
from idlescope.analysis.ranks.folder import analyze_folder
from idlescope.analysis.ranks.in_detail import in_detail
from idlescope.report import trace_report
from idlescope.trace import ranks_folder
from tests.make.ranks import Job, job, write
from tests.make.undrawn import timeline_alone

OPTIONS = RankOptions(window="first-last", min_gap_ns=0, frames=True)


def _packed(page):
    """The packed columns of a page's timeline, and its stretch of the trace."""
    return re.findall(r"H4sI[A-Za-z0-9+/=]+", page)


def test_reports_of_many_ranks_are_the_same(tmp_path):
    late_ns = tuple(400_000 * (rank == 6) for rank in range(10))
    folder = write(tmp_path / "ranks", job(Job(10, late_ns=late_ns)).events)
    whole = idlescope.analyze(idlescope.open(folder))
    found = analyze_folder(folder, ranks_folder.files(folder), OPTIONS)
    details = in_detail(found, OPTIONS)
    written = {
        "together": (whole.trace, whole, None),
        "apart": (details.trace, details, found.document()),
    }
    pages, documents = [], []
    for name, (trace, analysis, document) in written.items():
        out = tmp_path / name
        out.mkdir()
        with timeline_alone():
            trace_report.write_analysis(trace, analysis, out, "idlescope", document)
        pages.append((out / trace_report.REPORT).read_text())
        documents.append(json.loads((out / trace_report.ANALYSIS).read_text()))
    columns, excerpts = zip(*map(_packed, pages), strict=True)
    assert columns[0] == columns[1]
    # The stretch of the trace that opens in Perfetto names the devices that were read.
    without = [page.replace(text, "") for page, text in zip(pages, excerpts, strict=True)]
    assert without[0] == without[1]
    assert documents[0]["ranks"] == documents[1]["ranks"]
    assert len(documents[1]["devices"]) == 10
