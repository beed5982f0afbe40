"""Figures say what they show: labels, units and sources are in them, whatever names a trace has."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import idlescope
from idlescope import RunConfig, run
from idlescope.analysis.prediction import published
from idlescope.palette import MODE
from idlescope.report.figures import report_figures, style
from idlescope.report.work_line import WorkLine, of_analysis
from tests.conftest import FIXTURES
from tests.make.pages import pixels


def texts(folder, name):
    """The texts of a figure: matplotlib draws letters as paths and names them in comments."""
    found = re.findall("<!-- (.*?) -->", (folder / f"{name}.svg").read_text("utf-8"))
    return [text.replace("- -", "--") for text in found]  # which a comment cannot hold


def of_trace(file, **device):
    trace = idlescope.open(FIXTURES / file)
    trace = replace(trace, devices=tuple(replace(d, **device) for d in trace.devices))
    analysis = idlescope.analyze(trace)
    return of_analysis(analysis)


def draw_all(lines, subtitle):
    return report_figures.draw_all(lines, subtitle, report_figures.host_cost_of(lines))


@pytest.fixture(scope="module")
def of_run(tmp_path_factory):
    made = run(RunConfig(model="8b", device="modelled:h200", host_ms=2.0, tokens=60))
    folder = tmp_path_factory.mktemp("figures")
    lines = [
        WorkLine(mode, measured.trace, measured.result, measured.analysis.phases)
        for mode, measured in made.modes.items()
    ]
    drawn = draw_all(lines, "8B, modelled")
    style.save(drawn, folder)
    return folder


def test_every_figure_says_what_was_run(of_run):
    figures = {*report_figures.DRAWN, "cost"}
    assert {p.stem for p in of_run.iterdir()} == figures
    for name in figures:
        assert any("8B, modelled" in text for text in texts(of_run, name))


def test_activity_is_shown_for_both_modes(of_run):
    found = texts(of_run, "timeline")
    for mode in ("synchronous", "asynchronous"):
        assert any(
            re.fullmatch(rf"{mode}: GPU idle \d+\.\d\d % of the run", text)
            for text in found
        )
    assert {
        "both busy",
        "GPU busy",
        "CPU busy",
        "both idle",
        "GPU copy",
        "CPU",
        "GPU",
        "together",
    } <= set(found)


def test_host_cost_names_curves_own_points_and_sources(of_run):
    found = texts(of_run, "cost")
    assert {
        "synchronous",
        "asynchronous",
        "host work, ms per step",
        "compute idle, % after the first step",
    } <= set(found)
    assert any(
        text.startswith("this run, synchronous: 2 ms, ") and "replayed" in text
        for text in found
    )
    assert any(text.startswith("this run, asynchronous: 2 ms, ") for text in found)
    for p in published.POINTS:
        (line,) = (text for text in found if text.startswith(f"{p.name}: device "))
        assert f"{p.device_ms:.1f}" in line
        assert p.source in line
    drawn = (of_run / "cost.svg").read_text("utf-8")
    assert all(color.lower() in drawn for color in MODE.values())


def test_a_traces_point_is_its_own_and_long_names_are_cut(tmp_path):
    drawn = draw_all(
        of_trace("transformers_sync.json.gz", name="NVIDIA GPU " + 20 * "x$_"), "y" * 300
    )
    style.save({"cost": drawn["cost"]}, tmp_path)
    (own,) = (
        text
        for text in texts(tmp_path, "cost")
        if text.startswith("this trace, 0 NVIDIA GPU ")
    )
    assert "3.81 ms, 25.20 % idle" in own
    assert not any(text.startswith("transformers") for text in texts(tmp_path, "cost"))
    for name, figure in drawn.items():
        if name != "cost":  # which is laid out
            figure.draw_without_rendering()
        inside = figure.get_window_extent()
        for axis in figure.axes:
            box = axis.get_tightbbox()
            assert inside.x0 <= box.x0
            assert box.x1 <= inside.x1
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert inside.x0 <= box.x0
            assert box.x1 <= inside.x1


def test_devices_differ_in_colour_then_in_line():
    many = of_trace("loop_sync.json.gz") * 8
    axis = report_figures.DRAWN["idle"](many, "").axes[0]
    drawn = [(p.get_edgecolor(), p.get_linestyle()) for p in axis.patches]
    assert len(set(drawn)) == len(many)


def test_no_picture_of_cost_without_steps():
    (item,) = of_trace("loop_sync.json.gz")
    (two,) = idlescope.analyze(item.trace, window="steps:8-9").results
    assert "cost" in draw_all([item], "")
    assert "cost" not in draw_all([replace(item, result=two)], "")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_figure_is_dark_where_its_viewer_is(of_run, chromium, scheme, tmp_path):
    """Its letters and its ground change, its colours do not."""
    viewer = chromium.new_page(color_scheme=scheme)
    viewer.goto((of_run / "cost.svg").as_uri())
    viewer.screenshot(path=tmp_path / "shown.png")
    viewer.close()
    shown = pixels(tmp_path / "shown.png").astype(int)
    coded = np.unique(shown @ [1 << 16, 1 << 8, 1])
    colours = {f"#{colour:06x}" for colour in coded.tolist()}
    expected = (style.INK, style.GROUND)
    if scheme == "dark":
        expected = tuple(style.IN_THE_DARK[colour] for colour in expected)
    assert {*expected, *(colour.lower() for colour in MODE.values())} <= colours
    assert shown[5, 5].tolist() == [int(expected[1][at : at + 2], 16) for at in (1, 3, 5)]
