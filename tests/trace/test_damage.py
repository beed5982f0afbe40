"""What was repaired and lost is counted by place, and says which figures it could change."""

from __future__ import annotations

import pytest

from idlescope.trace.damage import LOSS, Damage, uncertain
from idlescope.trace.metadata import Metadata


def test_counts_add_up_and_the_first_place_stays():
    first, second = Damage(), Damage()
    first.repaired("commas too many were left out", "byte 5", 2)
    second.repaired("commas too many were left out", "byte 9")
    second.dropped("calls were left out", "byte 7", "calls", 3)
    second.cut("the file ends early", "byte 90")
    first.merge(second)
    assert first.warnings() == [
        "commas too many were left out: 3, the first at byte 5",
        "calls were left out: 3, the first at byte 7",
        "the file ends early: 1, the first at byte 90",
    ]
    assert first.to_meta()["lost"] == {"calls": 3}
    assert first.to_meta()["truncated"]


def test_nothing_counted_says_nothing():
    damage = Damage()
    damage.repaired("commas too many were left out", "byte 5", 0)
    damage.dropped("calls were left out", "byte 7", "calls", 0)
    assert damage.to_meta() == {}


@pytest.mark.parametrize(
    ("meta", "changed", "sure"),
    [
        (Metadata(), set(), {"idle_ns", "cause_ns", "host_ns", "steps"}),
        (Metadata(lost={"ranges": 1}), {"host_ns", "steps"}, {"idle_ns", "cause_ns"}),
        (Metadata(lost={"calls": 1}), {"cause_ns", "host_ns", "steps"}, {"idle_ns"}),
        (Metadata(lost={"operations": 1}), {"idle_ns", "cause_ns", "host_ns"}, set()),
        (Metadata(lost={"unknown": 1}), {"idle_ns", "cause_ns", "host_ns"}, set()),
        (Metadata(truncated=True), {"idle_ns", "cause_ns", "host_ns"}, set()),
    ],
)
def test_a_lost_record_makes_its_figures_uncertain(meta, changed, sure):
    figures = set(uncertain(meta))
    assert changed <= figures
    assert not figures & sure


@pytest.mark.parametrize(
    ("message", "is_loss"),
    [
        ("CUPTI dropped 5 records. Some CUPTI events might be missing.", True),
        ("Not all NVTX events might have been collected.", True),
        ("No NVTX events collected.", False),
    ],
)
def test_how_profilers_speak_of_losses(message, is_loss):
    assert bool(LOSS.search(message)) == is_loss
