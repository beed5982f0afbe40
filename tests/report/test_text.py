"""Names from traces are shown, and do nothing else: on a terminal, in figures, in the page."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from rich.console import Console

import idlescope
from idlescope.palette import CAUSE
from idlescope.report import trace_report
from idlescope.report.tables import devices, gaps, terminal
from idlescope.report.text import visible
from idlescope.trace.model import OperationKind, RangeKind
from idlescope.trace.whole_files import new_database
from tests.make.traces import trace

BAD = "\x1b]52;c;eA==\x07\x00\n\t\x9b\ud800\u202e\u2066$\\frac{$[/bold][red]:fire:<b>"
SHOWN = "$\\frac{$[/bold][red]:fire:<b>"


def hostile(processes=2):
    rows = [(10 * i, 10 * i + 5, OperationKind.KERNEL, d, 0, 0, i + 1, -1, 0, 0.0)
            for d in range(processes) for i in range(8)]  # fmt: skip
    made = trace(
        rows, [(10 * i - 2, 10 * i - 1, 0, 0, i + 1) for i in range(8)], [(0, 90, 0, 1, int(RangeKind.ANNOTATION), -1)],
        processes=tuple(f"{BAD} {p}" for p in range(processes)), meta={"path": f"/x/{BAD}.json", "warnings": [BAD]},
    )  # fmt: skip
    return replace(
        made,
        names=tuple(f"{BAD}{n}" for n in made.names),
        devices=tuple(replace(d, name=BAD) for d in made.devices),
        threads=tuple(replace(t, label=BAD) for t in made.threads),
    )


@pytest.mark.parametrize(
    "c", "\x00\x1b\n\t\r\x7f\x9b\ud800\udfff\u200e\u200f\u202a\u202e\u2066\u2069\ufffe"
)
def test_what_acts_is_replaced(c):
    assert visible(f"a{c}b") == "a\ufffdb"


def test_what_is_text_stays():
    assert visible(text := "naïve ∑ 行 🙂 … \u00a0") == text


def test_the_terminal_shows_names_as_they_stand():
    console = Console(file=io.StringIO(), width=400, force_terminal=False)
    analysis = idlescope.analyze(hostile())
    for table in devices.analysis_tables(analysis):
        console.print(table)
    for device in analysis.results:
        console.print(terminal.plain("\n".join(gaps.gap_lines(device))))
    out = console.file.getvalue()
    assert SHOWN in out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202e\u2066]", out)


def test_figures_and_page_are_well_formed(tmp_path):
    made = hostile()
    trace_report.write_analysis(
        made, idlescope.analyze(made), tmp_path, f"idlescope analyze {BAD}"
    )
    for svg in (tmp_path / "figures").glob("*.svg"):
        ET.parse(svg)  # noqa: S314 - our own file
    page = (tmp_path / "report.html").read_text("utf-8")
    assert SHOWN.replace("<b>", "&lt;b&gt;") in page
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066]", page)


def test_causes_have_their_colour_on_a_terminal_and_none_in_a_file():
    table = devices.analysis_tables(idlescope.analyze(hostile(1)))[1]
    for is_terminal in (True, False):
        options = {
            "force_terminal": is_terminal,
            "color_system": "truecolor" if is_terminal else None,
        }
        console = Console(file=io.StringIO(), width=100, **options, no_color=False)
        console.print(table)
        causes = [cause for cause in CAUSE if cause in console.file.getvalue()]
        assert {"host", "launch"} <= set(causes)
        for cause in causes:
            color = CAUSE[cause]
            red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
            assert (
                f"\x1b[38;2;{red};{green};{blue}m{cause}" in console.file.getvalue()
            ) == is_terminal
        assert ("\x1b" in console.file.getvalue()) == is_terminal


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (4, [4]), (6, [4, 2])])
def test_at_most_four_devices_stand_side_by_side(count, sizes):
    tables = devices.analysis_tables(idlescope.analyze(hostile(count)))
    assert [len(t.columns) - 1 for t in tables] == 2 * sizes


def test_a_database_that_cannot_be_made_is_an_oserror(tmp_path):
    with (
        pytest.raises(OSError, match="unable to open"),
        new_database(tmp_path / "nowhere" / "x.sqlite"),
    ):
        pass
