"""What a trace may say of itself: a place among ranks, and losses in words of our own."""

from __future__ import annotations

import pytest

from idlescope.analysis.verdict.refusal import LESSER
from idlescope.trace.damage import LOSS
from idlescope.trace.scrub import meta


@pytest.mark.parametrize(
    "said",
    [
        "CUPTI dropped 5 records",
        "Not all NVTX events of zoltan",
        "OS runtime events lost",
        "missed samples",
        "context switch events were lost",
        "ftrace overflow",
    ],
)
def test_losses_are_told_in_words_of_our_own_that_mean_the_same(said):
    (told,) = meta.losses([said, "zoltan was here"])
    assert LOSS.search(told)
    assert bool(LESSER.search(told)) == bool(LESSER.search(said))
    assert "zoltan" not in told


@pytest.mark.parametrize(
    "info",
    [{"backend": "zoltan", "rank": "hostname17", "world_size": True}, {"backend": ["a"]}],
)
def test_a_place_among_ranks_is_numbers_and_a_known_backend(info):
    assert meta.distributed(info) == {}
