"""What a run says of itself where it is looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest

import idlescope
from idlescope import RunConfig, run


@pytest.fixture(scope="module")
def result():
    return run(
        RunConfig(model="tiny", device="modelled", tokens=5, host_ms=1.0, device_ms=2.0)
    )


def test_it_is_short_in_a_terminal(result):
    assert repr(result).startswith(
        "<Run of a toy Llama on modelled NVIDIA H200 SXM: <sync: "
    )
    assert len(repr(result)) < 200
    assert repr(result.modes["async"]).startswith("<async: ")


def test_a_notebook_shows_the_verdict_and_a_row_per_mode(result):
    html = result._repr_html_()
    assert html.count("<tr>") == 1 + len(result.modes)
    assert all(sentence in html for sentence in result.statements.said())


def test_the_summary_is_built_once(result):
    assert result.document is result.document
    assert result.summary() == result.summary()


def test_waiting_for_requests_is_no_idle_time_of_a_step():
    """Verdict, table, notebook and summary.json have one figure."""
    usual = RunConfig(
        model="tiny", device="modelled", tokens=20, host_ms=1.0, device_ms=2.0
    )
    rarely = replace(usual, requests=10, arrival="poisson:5")
    mode = run(rarely).modes["sync"]
    idle_ms = mode.summary(None).idle_ms_per_step
    assert idle_ms == pytest.approx(mode.result.idle_per_step_ns / 1e6)
    assert mode.row()[-1] == f"{idle_ms:.3f} ms"
    busy = run(usual).modes["sync"].summary(None)
    assert idle_ms == pytest.approx(busy.idle_ms_per_step, rel=0.1)


def test_the_package_lists_its_public_names_alone():
    assert dir(idlescope) == sorted(idlescope.__all__)
    assert dir(idlescope.parts) == sorted(idlescope.parts.__all__)
