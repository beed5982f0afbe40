"""A creep over many commits is seen and judged, noise and outliers are none, a jump is named."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from idlescope.analysis.history.creep import creep_checks
from idlescope.analysis.history.line import Line, Point
from idlescope.analysis.history.trend import IDLE_PER_STEP, TrendKind, trends


def history(idle_ms, device_ms=20.0, told=None):
    """A line per commit, with so much idle per step."""
    return [
        Line(1, f"{number:040x}", "2026-11-29T00:00:00+00:00", "0.1.0", {
            "device 0": Point(
                told is None or told[number], "synchronous", 1e3, 50, 100 * idle / (idle + device_ms), idle,
                idle + device_ms, idle, device_ms,
            )
        })
        for number, idle in enumerate(idle_ms)
    ]  # fmt: skip


def trend_of(lines, allowed=10.0):
    return next(trend for trend in trends(lines, allowed) if trend.figure is IDLE_PER_STEP)


def noisy(values, seed=1, sigma=0.03):
    return np.asarray(values) * (
        1 + sigma * np.random.default_rng(seed).normal(size=len(values))
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_creep_from_0_8_to_9_5_ms_is_seen_though_no_commit_shows_it(seed):
    values = noisy(np.geomspace(0.8, 9.5, 60), seed)
    found = trend_of(history(values))
    assert found.kind == TrendKind.CREEP
    assert "has crept from 0.8" in found.text() or "has crept from 0.9" in found.text()
    assert found.last == pytest.approx(9, rel=0.15)
    (idle, _) = creep_checks(trends(history(values)), 10.0)
    assert not idle.holds


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("commits", [4, 12, 60])
def test_noise_is_no_creep(seed, commits):
    assert trend_of(history(noisy([5.0] * commits, seed))).kind == TrendKind.STEADY


def test_one_outlier_is_no_creep():
    values = [5.0] * 20
    values[-1] = values[7] = 9.0
    assert trend_of(history(values)).kind == TrendKind.STEADY


def test_one_commit_that_made_it_worse_is_named():
    found = trend_of(history(noisy([1.0] * 10 + [3.0] * 8)))
    assert found.kind == TrendKind.JUMP
    assert f"at commit {10:040x}"[:22] in found.text()


@pytest.mark.parametrize("known", [True, False])
def test_commits_of_another_load_are_in_no_trend(known):
    """A batch of 8 and then one of 32 takes longer per step, whatever the commits did."""
    lines = history(noisy([1.0] * 10 + [3.0] * 8))
    if known:
        for number, line in enumerate(lines):
            (subject, point) = next(iter(line.points.items()))
            requests = 8.0 if number < 10 else 32.0
            line.points[subject] = replace(point, requests_per_step=requests)
    found = trend_of(lines)
    assert found.kind == (TrendKind.STEADY if known else TrendKind.JUMP)
    assert ("(10 of another load are left out)" in found.text()) == known


def test_better_is_not_worse():
    found = trend_of(history(noisy([5.0] * 10 + [1.0] * 8)))
    assert found.kind == TrendKind.BETTER
    assert creep_checks([found], 10.0)[0].holds


def test_a_rise_that_does_not_matter_is_none():
    assert trend_of(history(np.linspace(0.001, 0.01, 30))).kind == TrendKind.STEADY


def test_too_few_commits_hold_in_doubt():
    (check, _) = creep_checks(trends(history([1.0, 2.0, 3.0])), 10.0)
    assert check.holds
    assert check.doubtful
    assert trends([]) == []


def test_commits_that_do_not_tell_are_in_no_trend_and_counted():
    told = [True] * 20
    told[3] = told[4] = False
    values = [5.0] * 20
    values[3] = values[4] = 500.0
    found = trend_of(history(values, told=told))
    assert found.untold == 2
    assert found.kind == TrendKind.STEADY


def test_a_commit_that_was_measured_again_is_one():
    lines = history([5.0] * 6)
    assert len(trend_of([*lines, *lines]).commits) == 6


def test_the_limit_is_what_is_allowed():
    lines = history(noisy(np.linspace(5, 6, 40)))
    assert trend_of(lines, 10.0).kind == TrendKind.CREEP
    assert trend_of(lines, 30.0).kind == TrendKind.STEADY
