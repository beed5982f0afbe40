"""The pages of sweeps and comparisons: one file each, without a script, that says what the terminal says."""

from __future__ import annotations

import os

import pytest

import idlescope
from idlescope.experiment.cells import grid
from idlescope.experiment.sweep import sweep
from idlescope.report import comparison_report, sweep_report
from idlescope.report.tables import sweep as sweep_table
from tests.make.pages import Opened, hostile_loop, loop
from tests.make.undrawn import figures_undrawn

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def of_sweep(tmp_path_factory):
    """The folder and the document of a sweep of four cells, of which two have no room."""
    folder = tmp_path_factory.mktemp("sweep")
    configs = grid(["8b", "70b"], ["modelled:h100"], [3.0], [1, 32], tokens=8)
    document = sweep_table.document(configs, list(sweep(configs, folder)))
    with figures_undrawn():  # the page has none
        sweep_report.write(document, folder)
    return folder / "report.html", document


@pytest.fixture(scope="module")
def of_comparison(tmp_path_factory):
    """The page of a comparison of a loop with one whose kernels have hostile names."""
    folder = tmp_path_factory.mktemp("comparison")
    changed = idlescope.compare(
        idlescope.analyze(loop(30)), idlescope.analyze(hostile_loop(30))
    )
    with figures_undrawn():
        comparison_report.write({"": [changed]}, folder)
    return folder / "report.html", changed


@pytest.fixture(params=["sweep", "comparison"])
def path(request, of_sweep, of_comparison):
    return {"sweep": of_sweep, "comparison": of_comparison}[request.param][0]


@pytest.mark.parametrize("width", [1440, 390])
def test_they_ask_for_nothing_and_fit_every_screen(chromium, path, width):
    size = {"width": width, "height": 900}
    shown = Opened(chromium, path, script=False, viewport=size, color_scheme="light")
    grounds = []
    for scheme in ("light", "dark"):
        shown.page.emulate_media(color_scheme=scheme)
        grounds.append(
            shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
        )
    assert grounds == ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.page.locator("script, img").count() == 0
    shown.context.close()
    assert (shown.said, shown.asked) == ([], [path.as_uri()])


def test_axe_finds_no_serious_violation(chromium, path):
    source = os.environ.get("AXE_CORE")
    if source is None:
        pytest.skip("AXE_CORE does not say where axe.min.js of the npm package axe-core is")
    shown = Opened(chromium, path, script=False, bypass_csp=True)
    shown.page.evaluate(
        "for (const one of document.querySelectorAll('details')) one.open = true"
    )
    assert shown.violations(source) == []
    shown.context.close()


def test_a_sweep_shows_every_cell_and_why_one_was_not_run(chromium, of_sweep):
    path, document = of_sweep
    shown = Opened(chromium, path, script=False)
    text = shown.page.locator("main").text_content()
    done = [row for row in document["rows"] if row["state"] == "done"]
    refused = [row for row in document["rows"] if row["state"] == "refused"]
    assert done
    assert refused
    for row in done:
        assert f"{row['idle_pct']:.1f}" in text
        assert f"{row['speedup']:.2f}" in text
    assert refused[0]["reason"] in text
    best = max(done, key=lambda row: row["speedup"])
    verdict = shown.page.locator(".verdict").inner_text()
    assert f"up to {best['speedup']:.2f} times faster" in verdict
    shown.context.close()


def test_a_comparison_shows_its_parts_which_add_up(chromium, of_comparison):
    path, changed = of_comparison
    shown = Opened(chromium, path, script=False)
    rows = shown.page.locator("section tbody tr").all_inner_texts()
    shown.context.close()
    cells = [row.split("\t") for row in rows]
    assert cells[0][0].startswith(changed.headline.name)
    assert float(cells[0][1]) == pytest.approx(changed.headline.base / 1e6, abs=1e-3)
    parts = sum(float(row[3].split()[0]) for row in cells[1:])
    assert parts == pytest.approx(float(cells[0][3].split()[0]), abs=0.002 * len(cells))
