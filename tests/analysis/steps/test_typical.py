"""Typical steps are a few in a row, as long as most, about the middle."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from idlescope.analysis.steps.typical import typical_steps


def steps(*lengths):
    """Steps of these lengths, one after the other, from 0 on."""
    return SimpleNamespace(start=np.cumsum([0, *lengths])[:-1])


def test_they_are_the_ones_in_the_middle():
    assert typical_steps(steps(*[10] * 11), 0, 110) == (40, 70)


def test_a_pause_in_the_middle_is_not_typical():
    first, last = typical_steps(steps(*[10] * 5, 500, *[10] * 5), 0, 600)
    assert last - first == 30


def test_only_steps_within_the_limits_count():
    first, last = typical_steps(steps(*[10] * 100), 0, 200)
    assert 0 <= first < last <= 200


def test_too_few_steps_have_none():
    assert typical_steps(steps(10, 10, 10), 0, 30) is None
