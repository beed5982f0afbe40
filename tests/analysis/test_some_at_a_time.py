"""What is computed of a million steps some at a time is what would be computed of all at once."""

from __future__ import annotations

import numpy as np
import pytest

from idlescope.analysis import intervals
from idlescope.analysis.analyze import analyze
from idlescope.analysis.intervals import Intervals
from idlescope.report.text import to_text
from idlescope.trace.model import Calls
from idlescope.trace.open import open_trace
from tests.conftest import FIXTURES


def whole(name):
    return to_text(analyze(open_trace(FIXTURES / name)).to_json())


@pytest.mark.parametrize("name", ["loop_sync.json.gz", "transformers_sync.json.gz"])
def test_an_analysis_and_its_prediction_are_the_same(monkeypatch, name):
    at_once = whole(name)
    assert '"predicted"' in at_once or "prediction" in at_once
    monkeypatch.setattr("idlescope.analysis.prediction.host_work.PIECES_AT_ONCE", 3)
    monkeypatch.setattr("idlescope.analysis.prediction.replay.STEPS_AT_ONCE", 2)
    monkeypatch.setattr("idlescope.analysis.intervals.PAIRED_AT_ONCE", 5)
    assert whole(name) == at_once


def test_pairs_of_overlapping_intervals_are_the_same(monkeypatch):
    draw = np.random.default_rng(3)
    left, right = (
        intervals.union(start, start + draw.integers(1, 60, 200))
        for start in (draw.integers(0, 5_000, 200), draw.integers(0, 5_000, 200))
    )
    at_once = intervals.overlaps(left, right)
    monkeypatch.setattr("idlescope.analysis.intervals.PAIRED_AT_ONCE", 7)
    some_at_a_time = intervals.overlaps(left, right)
    assert at_once.left.size > 7
    for one, other in zip(at_once, some_at_a_time, strict=True):
        assert np.array_equal(one, other)
    nothing = Intervals(left.start[:0], left.end[:0])
    assert intervals.overlaps(nothing, right).left.size == 0


def test_a_table_of_which_every_row_is_chosen_is_not_copied():
    calls = Calls.of(
        start=[1, 2], end=[3, 4], thread=[0, 0], name=[0, 0], correlation=[0, 0]
    )
    assert calls.take(calls.start > 0) is calls
    assert len(calls.take(calls.start > 1)) == 1
