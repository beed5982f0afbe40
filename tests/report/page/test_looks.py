"""How a page looks: on a desk and on a phone, in light and dark, and printed; pictures are left to look at.

`IDLESCOPE_PICTURES=DIR` keeps them there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import idlescope
from idlescope.report import trace_report
from idlescope.report.text import milliseconds
from tests.conftest import FIXTURES
from tests.make.commands import idlescope as idlescope_command
from tests.make.pages import Opened, pixels
from tests.make.undrawn import timeline_alone

pytestmark = pytest.mark.browser
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
WHITE = 240  # of each channel, at least


@pytest.fixture(scope="module")
def pages(report, tmp_path_factory):
    """The pages of a small run and of a trace with calls."""
    folder = tmp_path_factory.mktemp("trace")
    trace = idlescope.open(FIXTURES / "vllm_8b_sync.json.gz")
    with timeline_alone():
        trace_report.write_analysis(trace, idlescope.analyze(trace), folder, "idlescope")
    return {"run": report / "report.html", "trace": folder / "report.html"}


@pytest.fixture(scope="module")
def all_pages(pages, tmp_path_factory):
    """Those, and the pages of a comparison and of a sweep: every table that a page can have."""
    folder = tmp_path_factory.mktemp("others")
    sides = [FIXTURES / f"loop_{name}.json.gz" for name in ("sync", "item")]
    compared = idlescope_command("compare", *sides, "--out", folder / "compared")
    grid = ("--model", "1b", "--device", "modelled:h200", "--batch-size", "1,64")
    swept = idlescope_command(
        *("sweep", *grid, "--tokens", "10", "--jobs", "1", "--out", folder / "swept")
    )
    assert (compared.returncode, swept.returncode) == (0, 0)
    others = {name: folder / name / "report.html" for name in ("compared", "swept")}
    return pages | others


@pytest.fixture
def pictures(tmp_path):
    kept = Path(os.environ.get("IDLESCOPE_PICTURES", tmp_path))
    kept.mkdir(parents=True, exist_ok=True)
    return kept


def unfold(page):
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")


@pytest.mark.parametrize("name", ["run", "trace"])
@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_everything_fits_and_in_the_dark_all_is_dark(
    chromium, pages, pictures, name, screen
):
    shown = Opened(chromium, pages[name], viewport=screen, color_scheme="light")
    light = pictures / f"{name}_{screen['width']}_light.png"
    shown.page.screenshot(path=light, full_page=True)
    unfold(shown.page)
    shown.page.emulate_media(color_scheme="dark")
    shown.settle()
    width = shown.page.evaluate("document.documentElement.scrollWidth")
    dark = pictures / f"{name}_{screen['width']}_dark.png"
    shown.page.screenshot(path=dark, full_page=True)
    shown.context.close()
    assert width <= screen["width"]
    assert shown.said == []
    assert white_share(light) > 0.5
    assert white_share(dark) < 0.03


def white_share(picture):
    """How much of a picture is about white."""
    return (pixels(picture).min(-1) > WHITE).mean()


def test_a_phone_shows_both_modes_at_once(chromium, pages):
    shown = Opened(chromium, pages["run"], viewport=PHONE, has_touch=True)
    box = shown.page.locator(".drawing").bounding_box()
    items = shown.page.evaluate("idlescope.items.map((item) => item.title)")
    tables = shown.page.locator("section table")
    columns = tables.last.locator("tr").first.locator("th").last.bounding_box()
    shown.context.close()
    assert items == ["synchronous", "asynchronous"]
    assert box["height"] < PHONE["height"]
    assert columns["x"] + columns["width"] <= PHONE["width"]


TOO_WIDE = """(selector) => [...document.querySelectorAll(selector)].filter((one) => one.offsetWidth
  && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.parentElement.ariaLabel)"""


@pytest.mark.parametrize("name", ["run", "trace", "compared", "swept"])
def test_on_a_phone_wide_tables_are_stacked_and_others_keep_their_first_column(
    chromium, all_pages, name
):
    page = chromium.new_page(viewport=PHONE)
    page.goto(all_pages[name].as_uri())
    unfold(page)
    width = page.evaluate("document.documentElement.scrollWidth")
    stacked = page.evaluate(TOO_WIDE, "table.stack")
    fixed = page.evaluate(
        """[...document.querySelectorAll('.scroll > table:not(.stack)')].filter((one) => one.offsetWidth)
        .map((one) => getComputedStyle(one.rows[one.rows.length - 1].cells[0]).position)"""
    )
    labels = page.evaluate(
        "[...document.querySelectorAll('.stack td.n')].map((one) => one.dataset.label)"
    )
    page.close()
    assert width <= PHONE["width"]
    assert stacked == []
    assert set(fixed) <= {"sticky"}
    assert all(labels)  # what a figure is, is said beside it


@pytest.mark.parametrize("name", ["run", "trace", "compared", "swept"])
def test_nothing_is_wider_than_a_printed_page(chromium, all_pages, name):
    a4_within_margins = {"width": 690, "height": 1000}
    page = chromium.new_page(viewport=a4_within_margins)
    page.goto(all_pages[name].as_uri())
    page.emulate_media(media="print")
    width = page.evaluate("document.documentElement.scrollWidth")
    too_wide = page.evaluate(TOO_WIDE, "table")
    page.close()
    assert width <= a4_within_margins["width"]
    assert too_wide == []


def test_the_timeline_opens_on_three_typical_steps_with_the_longest_gap_beside_it(
    chromium, pages
):
    shown = Opened(chromium, pages["run"], viewport=DESK)
    low, high = shown.page.evaluate("[idlescope.low, idlescope.high]")
    (steps, *_) = shown.page.evaluate(
        "idlescope.items.map((item) => [...item.steps.start])"
    )
    drawing, card = (shown.page.locator(one).bounding_box() for one in (".drawing", ".gap"))
    said = shown.page.locator(".gap").inner_text()
    longest = shown.page.evaluate("idlescope.longest[0].end - idlescope.longest[0].start")
    shown.page.click("#go-longest")
    assert "longest first" in shown.page.locator("#said").inner_text()
    shown.context.close()
    assert sum(low <= start < high for start in steps) in (3, 4)
    assert card["x"] >= drawing["x"] + drawing["width"]
    assert milliseconds(longest) in said


def test_the_wait_that_the_verdict_names_is_marked_among_the_calls(chromium, pages):
    shown = Opened(chromium, pages["trace"], viewport=DESK)
    call = "cudaEventSynchronize"
    blocking, marked = shown.page.evaluate(
        """() => { const { page, items } = idlescope, lane = items[0].lanes.find((one) => one.label === "calls");
        const marked = [...lane.name].filter((code) => page.colours[code] === page.blocking);
        return [page.blocking, [...new Set(marked.map((code) => page.names[code]))]]; }"""
    )
    keys = shown.page.locator(".keys").all_inner_texts()
    names = shown.page.evaluate("idlescope.page.names")
    shown.context.close()
    assert marked == [call]
    assert any(f"{call}: the wait that the verdict names" in key for key in keys)
    assert blocking
    assert not [name for name in names if name.startswith("ProfilerStep#")]


@pytest.mark.parametrize("name", ["run", "trace"])
def test_print_is_light_whole_and_leaves_no_heading_alone(chromium, pages, pictures, name):
    shown = Opened(chromium, pages[name], viewport=DESK, color_scheme="dark")
    shown.page.emulate_media(media="print")
    ground = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    breaks = shown.page.evaluate(
        "[...document.querySelectorAll('h2, h3')].map((one) => getComputedStyle(one).breakAfter)"
    )
    # what is folded on the screen has a height, but for the steps, of which the script shows a few
    heights = shown.page.evaluate(
        """[...document.querySelectorAll('details.section')].filter((one) => !one.querySelector("#steps"))
        .map((one) => one.getBoundingClientRect().height - one.firstElementChild.getBoundingClientRect().height)"""
    )
    shown.page.pdf(path=pictures / f"{name}.pdf", format="A4", print_background=True)
    shown.context.close()
    assert ground == "rgb(255, 255, 255)"
    assert set(breaks) == {"avoid"}
    assert min(heights) > 15
