"""Pauses and a lack of requests are no cost of steps: nothing that is said of steps counts them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import idlescope
from idlescope.analysis.comparison.blocks import of_analysis
from idlescope.analysis.comparison.breakdown import APART
from idlescope.analysis.comparison.checks import examine
from idlescope.analysis.comparison.compare import compare
from idlescope.analysis.comparison.limits import Limits
from idlescope.analysis.verdict.findings import VerdictKind
from tests.make.kineto_files import write
from tests.make.serving_loops import MS, OWN, US, VLLM_V1, Plan, recorded
from tests.make.views import measured
from tests.make.watched_loops import regular_trace, waiting_for_requests

STEPS = 60
ONE = {30: 60 * MS}
SEVERAL = {15: 700 * MS, 30: 90 * MS, 45: 400 * MS}
VLLM = {"spans": VLLM_V1, "around": "execute_context_0(0)_generation_32(32)"}
SLOW_HOST = {"schedule_ns": 4 * MS, "kernel_ns": 300 * US}
LOOPS = {
    "synchronous": Plan(steps=STEPS),
    "asynchronous": Plan(steps=STEPS, depth=2),
    "its spans are known": Plan(steps=STEPS, **VLLM),
    "its spans are the user's": Plan(steps=STEPS, spans=OWN),
    "asynchronous, its spans are known": Plan(steps=STEPS, depth=2, **VLLM),
    "asynchronous, the host is slower": Plan(steps=STEPS, depth=2, **SLOW_HOST, **VLLM),
    "eager": Plan(steps=STEPS, graphs=0, kernels=60, kernel_ns=20 * US, launch_ns=40 * US),
}


@pytest.mark.parametrize("pauses", [ONE, SEVERAL], ids=["one", "several"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_prediction_is_that_of_the_same_loop_without_pauses(tmp_path, loop, pauses):
    without = measured(tmp_path, recorded(LOOPS[loop]))
    paused = measured(tmp_path, recorded(replace(LOOPS[loop], pauses=pauses)))
    if paused.spread.kind == "no demand":  # then nothing is predicted
        assert paused.prediction is None
        return
    for case in ("recorded", "predicted", "bound"):
        usual = getattr(without.prediction, case).step_ns
        assert getattr(paused.prediction, case).step_ns == pytest.approx(usual, rel=0.01)
    exposed_ns = without.prediction.exposed_ns
    assert paused.prediction.exposed_ns == pytest.approx(exposed_ns, rel=0.1, abs=20_000)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_pause_that_is_not_most_of_idle_is_told_apart_from_why_steps_idle(tmp_path, loop):
    without = measured(tmp_path, recorded(LOOPS[loop]))
    paused = measured(tmp_path, recorded(replace(LOOPS[loop], pauses={30: 25 * MS})))
    if paused.spread.kind != "per step":
        pytest.skip("that loop hardly idles")
    assert paused.verdict.kind == without.verdict.kind
    assert "% of that in one pause of" in paused.verdict.text or (
        "% of that for want of requests" in paused.verdict.text
    )
    share = re.search(r"(\d+) % of that because", without.verdict.text)
    share_of_rest = re.search(r"(\d+) % of the rest because", paused.verdict.text)
    assert int(share_of_rest[1]) == pytest.approx(int(share[1]), abs=2)


@pytest.mark.parametrize("pause_ns", [60 * MS, 900 * MS])
def test_a_pause_makes_no_host_the_slower_side(tmp_path, pause_ns):
    """The host of 1.6 ms per step stays the quicker one, whatever a pause adds to the sum."""
    plan = Plan(steps=20, kernel_ns=250 * US, pauses={10: pause_ns})
    paused = measured(tmp_path, recorded(plan))
    assert int(paused.steps.host.sum()) > int(paused.steps.device.sum())
    assert "slower side" not in paused.verdict.text
    assert paused.verdict.kind == "synchronous"


def test_the_host_is_said_to_work_as_long_as_in_steps_without_pauses(tmp_path):
    plan = LOOPS["asynchronous, the host is slower"]
    said = []
    for pauses in ({}, {30: 50 * MS}):
        device = measured(tmp_path, recorded(replace(plan, pauses=pauses)))
        said.append(re.search(r"it works ([\d.]+) ms per step", device.verdict.text)[1])
    assert said[0] == said[1]


@pytest.mark.parametrize("none_ns", [2 * MS, 7 * MS, 20 * MS, 2000 * MS])
def test_asynchronous_batching_gives_nothing_of_the_time_without_requests(none_ns):
    (usual,) = idlescope.analyze(regular_trace(60)).results
    (waiting,) = idlescope.analyze(waiting_for_requests(10, none_ns)).results
    assert waiting.host_ns["no demand"] == pytest.approx(5 * none_ns, rel=0.01)
    for case in ("recorded", "predicted"):
        step_ns = getattr(usual.prediction, case).step_ns
        assert getattr(waiting.prediction, case).step_ns == pytest.approx(step_ns, rel=0.01)
    if none_ns < 1000 * MS:
        assert "% of that for want of requests" in waiting.verdict.text
    else:
        assert waiting.verdict.kind == VerdictKind.NO_DEMAND
        advice = "Asynchronous batching (vLLM: --async-scheduling) would make it 3.00 ms per step"
        assert advice in waiting.verdict.text
        assert advice in usual.verdict.text


PAUSED = {
    "one": {30: 1_000 * MS},
    "several": SEVERAL,
}


@pytest.mark.parametrize("pauses", PAUSED.values(), ids=PAUSED)
@pytest.mark.parametrize("loop", ["synchronous", "its spans are known", "eager"])
def test_a_pause_breaks_no_limit_per_step_and_hides_no_slower_step(tmp_path, loop, pauses):
    """Verdict, `check` and `compare` agree: it is no cost of a step, whatever it is due to."""
    plan = LOOPS[loop]
    slower = replace(plan, schedule_ns=plan.schedule_ns + 400 * US)
    usual, paused, paused_slower = (
        measured_as(tmp_path / name, recorded(made))
        for name, made in (
            ("usual", plan),
            ("paused", replace(plan, pauses=pauses)),
            ("slower", replace(slower, pauses=pauses)),
        )
    )
    limit_ms = 1.05 * usual.results[0].idle_per_step_ns / 1e6
    limits = Limits.of(max_idle_ms_per_step=limit_ms)
    assert [check.holds for check in examine(paused, limits)] == [True]
    assert [check.holds for check in examine(paused_slower, limits)] == [False]

    same, longer = (compare(usual, other) for other in (paused, paused_slower))
    assert same.verdict.kind in ("no difference", "shifted")
    assert same.headline.other == pytest.approx(same.headline.base, rel=0.03)
    assert any(warning.startswith("B stood still for") for warning in same.warnings)
    assert longer.verdict.kind == "slower"
    # A step's own idle time is part of its pause: of three of sixty steps it is missing.
    assert longer.headline.change == pytest.approx(400 * US, rel=0.3)


def test_of_a_window_pauses_are_a_part(tmp_path):
    plan = LOOPS["synchronous"]
    usual = measured_as(tmp_path / "usual", recorded(plan))
    paused = measured_as(tmp_path / "paused", recorded(replace(plan, pauses=ONE)))
    change = compare(usual, paused, per="window")
    apart = next(part for part in change.parts if part.name == APART)
    assert (apart.base, change.verdict.kind) == (0, "no difference")
    window_ns = paused.results[0].occupancy.window_ns
    assert apart.other == pytest.approx(100 * ONE[30] / window_ns, rel=0.1)
    parts = sum(part.other for part in change.parts)
    assert parts == pytest.approx(paused.results[0].idle_pct, rel=1e-6)


def test_a_notebook_shows_steps_without_their_pauses(tmp_path):
    plan = LOOPS["its spans are the user's"]
    shown = [
        measured_as(tmp_path / name, recorded(replace(plan, pauses=pauses)))._repr_html_()
        for name, pauses in (("usual", {}), ("paused", SEVERAL))
    ]
    usual, paused = (
        [float(cell) for cell in re.findall(r"<td>([\d.]+|[\d,]+\.\d) ms</td>", html)[1:]]
        for html in shown
    )
    assert len(usual) == 3
    assert paused == pytest.approx(usual, rel=0.1)


def test_an_analysis_as_json_tells_its_pauses(tmp_path):
    plan = replace(LOOPS["synchronous"], pauses=ONE)
    analysis = measured_as(tmp_path / "paused", recorded(plan))
    written = tmp_path / "analysis.json"
    written.write_text(json.dumps(analysis.to_json()))
    ((told,), recording) = compare(written, analysis).base.recordings, of_analysis(analysis)
    assert told.apart.sum() == pytest.approx(recording.apart.sum())
    assert told.window.sum() == pytest.approx(recording.window.sum(), rel=0.01)
    for name, ns in recording.parts.items():
        assert told.parts.get(name, np.zeros(1)).sum() == pytest.approx(ns.sum(), abs=1e4)


def measured_as(folder, events):
    """Return the analysis of some Kineto events."""
    folder.mkdir()
    return idlescope.analyze(idlescope.open(write(folder / "trace.json", events)))
