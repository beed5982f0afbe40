"""Steps with the host of a published engine: what the curve of host cost says, and its source."""

from __future__ import annotations

import numpy as np
import pytest

from idlescope import RunConfig, run
from idlescope.analysis.prediction import published
from idlescope.analysis.prediction.curve import host_cost
from idlescope.analysis.prediction.published_host import with_published_host


@pytest.fixture(scope="module")
def recorded():
    made = run(RunConfig(model="8b", device="modelled:h200", mode="sync", tokens=2000))
    mode = made.modes["sync"]
    return mode.trace, mode.result


def test_its_host_lies_on_the_curve_of_host_cost(recorded):
    with_host = with_published_host(*recorded, published.CACHED_TOKENS)
    sync, later = host_cost({"sync": recorded}).curves
    found = with_host.same_steps
    for curve, idle_pct in ((sync, found.sync), (later, found.asynchronous)):
        on_curve = np.interp(with_host.host_work_ms, curve.host_ms, curve.idle_pct)
        assert idle_pct == pytest.approx(on_curve, abs=1.0)


def test_with_its_device_time_the_steps_idle_as_it_was_measured_to(recorded):
    with_host = with_published_host(*recorded, published.CACHED_TOKENS)
    assert with_host.its_steps.sync == pytest.approx(with_host.measured.sync, abs=0.05)
    assert with_host.its_steps.asynchronous == pytest.approx(0.0, abs=0.6)
    assert (with_host.measured.sync, with_host.measured.asynchronous) == (24.0, 0.6)


def test_what_its_device_waits_is_what_the_published_one_waited(recorded):
    with_host = with_published_host(*recorded, published.CACHED_TOKENS)
    its_steps, device_ms = with_host.its_steps, with_host.engine.device_ms
    waits_ms = device_ms * its_steps.sync / (100.0 - its_steps.sync)
    assert waits_ms == pytest.approx(with_host.gap_ms, rel=0.002)
    assert with_host.host_work_ms > with_host.gap_ms  # some is done beside the device


def test_of_fewer_or_more_cached_tokens_than_were_measured_nothing_is_said(recorded):
    for cached_tokens in (published.FEWEST_CACHED - 1, published.MOST_CACHED + 1):
        assert with_published_host(*recorded, cached_tokens) is None


def test_the_headline_is_one_engine_in_both_modes():
    sync, later = published.HEADLINE
    assert (sync.name, sync.mode, later.mode) == (later.name, "sync", "async")
