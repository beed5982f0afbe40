"""A verdict in a few words: every kind has something to do, and the main cause is the largest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

import idlescope
from idlescope.analysis.verdict.findings import VerdictKind
from idlescope.analysis.verdict.in_short import main_cause, what_to_do
from tests.conftest import FIXTURES


@pytest.fixture(scope="module")
def result():
    (found,) = idlescope.analyze(idlescope.open(FIXTURES / "vllm_8b_sync.json.gz")).results
    return found


@pytest.mark.parametrize("kind", VerdictKind)
def test_every_kind_of_verdict_has_something_to_do(result, kind):
    of_kind = replace(result, verdict=structs.replace(result.verdict, kind=kind))
    assert what_to_do(of_kind).what


def test_synchronous_batching_names_the_engines_own_switch(result):
    assert result.verdict.kind == VerdictKind.SYNCHRONOUS
    assert what_to_do(result) == ("batch asynchronously", "vLLM: --async-scheduling")


def test_the_main_cause_has_most_of_idle(result):
    cause, totals = main_cause(result), result.gaps.totals()
    assert cause.name == max(totals, key=totals.get) == "host"
    assert cause.pct_of_idle == pytest.approx(
        100 * totals["host"] / result.occupancy.idle_ns
    )
    assert cause.part_pct_of_idle <= cause.pct_of_idle
    assert cause.part
