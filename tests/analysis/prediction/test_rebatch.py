"""Batches that form anew: arithmetic by hand."""

from __future__ import annotations

import numpy as np

from idlescope.analysis.prediction.rebatch import order, rebatch
from idlescope.analysis.prediction.requests import Requests
from idlescope.analysis.prediction.step_costs import StepCosts


def equal(n, **columns):
    """So many equal steps, what is not given being zero."""
    made = {name: np.zeros(n, np.int64) for name in StepCosts.__struct_fields__}
    return StepCosts(
        **{**made, **{name: np.full(n, value, np.int64) for name, value in columns.items()}}
    )


def test_a_row_is_given_on_once_its_last_token_is_known():
    # two rows: the first is used by requests of 3 and 4 steps, the second by one of 7 all the time
    of = Requests(
        *(np.array(c) for c in ([0, 0, 3], [0, 0, 3], [2, 6, 6])), np.zeros(3, bool), 2
    )
    assert order(of, 1).starts.tolist() == [0, 0, 3]
    assert (order(of, 2).starts.tolist(), order(of, 2).steps) == ([0, 0, 4], 8)
    assert (order(of, 3).starts.tolist(), order(of, 3).steps) == ([0, 0, 5], 9)
    assert (order(of, 2).needs == -1).all()
    # one row, two requests: the pipeline drains between them, unless the first was not known to end
    one = Requests(*(np.array(c) for c in ([0, 3], [0, 3], [2, 5])), np.zeros(2, bool), 1)
    assert (order(one, 2).starts.tolist(), order(one, 2).steps) == ([0, 3], 6)
    assert order(one, 2).needs.tolist() == [-1, -1, -1, 2, -1, -1]
    stopped = Requests(one.admitted, one.first_token, one.last_token, np.ones(2, bool), 1)
    assert (order(stopped, 2).starts.tolist(), order(stopped, 2).steps) == ([0, 4], 8)
    assert (order(stopped, 2).needs == -1).all()


def test_what_a_prompt_costs_goes_where_its_request_goes():
    # a prompt of 50 us in the steps 0 (two of them) and 3, as in the first case above
    of = Requests(
        *(np.array(c) for c in ([0, 0, 3], [0, 0, 3], [2, 6, 6])), np.zeros(3, bool), 2
    )
    steps = equal(7, compute=10_000)
    steps.compute[[0, 3]] += [100_000, 50_000]
    anew, needs, prompts = rebatch(steps, of, 2)
    assert np.flatnonzero(prompts).tolist() == [0, 4]
    assert anew.compute.tolist() == [
        110_000,
        10_000,
        10_000,
        10_000,
        60_000,
        10_000,
        10_000,
        10_000,
    ]
    assert (needs == -1).all()
    assert rebatch(steps, of, 1).costs is steps
