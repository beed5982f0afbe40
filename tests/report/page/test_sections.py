"""The page is a list of sections: one is added in one place, and each is left out where it has nothing to say."""

from __future__ import annotations

import re

import pytest

import idlescope
from idlescope.report.page import page
from idlescope.report.page.section import Section
from idlescope.report.page.sections.order import OF_TRACE
from idlescope.report.work_line import of_analysis
from tests.conftest import FIXTURES
from tests.make.pages import content


def titles(path):
    return re.findall("<h2>(.*?)</h2>", path.read_text("utf-8"))


@pytest.fixture(scope="module")
def lines():
    return of_analysis(idlescope.analyze(idlescope.open(FIXTURES / "loop_sync.json.gz")))


def test_a_toy_section_is_added_in_one_place(tmp_path):
    toy = Section(
        title="A toy",
        fragment="<p>{{ said }}</p>\n{{ table('toy', columns, [('a', ['b'])]) }}\n",
        fill=lambda material: {"said": "<b>", "columns": material.page.columns},
    )
    page.write(content(), tmp_path / "page.html", (*OF_TRACE, toy))
    text = (tmp_path / "page.html").read_text("utf-8")
    assert titles(tmp_path / "page.html")[-1] == "A toy"
    assert "<p>&lt;b&gt;</p>" in text
    assert 'aria-label="toy"' in text


def test_a_section_that_has_nothing_to_say_is_left_out(tmp_path):
    page.write(content(), tmp_path / "page.html")
    assert titles(tmp_path / "page.html") == [
        "All figures",
        "What the numbers mean",
        "How to reproduce",
    ]


def test_sections_stand_in_their_order(tmp_path, lines):
    made = content(
        lines, warnings=["a warning"], predictions=["a prediction"], files=["a file"]
    )
    page.write(made, tmp_path / "page.html")
    order = [section.title for section in OF_TRACE]
    shown = titles(tmp_path / "page.html")
    assert shown == [title for title in order if title in shown]
    assert {"Read this first", "Timeline", "Every step", "Traces and files"} <= set(shown)


def test_every_section_has_a_title_of_its_own():
    titles_of_all = [section.title for section in OF_TRACE]
    assert len(set(titles_of_all)) == len(titles_of_all)
