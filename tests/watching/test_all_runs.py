"""The one table of reports/engines says what its raw figures say (tests/gpu/all_runs.py)."""

from __future__ import annotations

from tests.gpu import all_runs


def test_the_table_of_the_report_is_that_of_its_figures(capsys):
    all_runs.main(all_runs.ENGINES_JSON)
    assert (
        capsys.readouterr().out in all_runs.ENGINES_JSON.with_name("README.md").read_text()
    )


def turn(way, step_ms, **more):
    row = {"engine": "sglang", "size": "8b", "mode": "sync", "load": "decode", "turn": 0}
    return "a run", row | {"way": way, "step_ms": step_ms} | more


def test_turns_are_compared_side_by_side():
    watched = {"idle_pct": 30.0, "busy_ms_per_step": 5.6, "batching": "synchronous"}
    turns = [
        turn("bare", 9.0, counted_ms=8.0),
        turn("events", 9.1, counted_ms=8.1, watched=watched),
        turn("events", 9.5, counted_ms=8.5, turn=1, watched=watched),  # none lies beside it
    ]
    assert list(all_runs.cells(turns)) == [
        "8.00 (1)", "0.988 (1)", "30.0; 30.0 %", "–", "–", "2 of 2"
    ]  # fmt: skip


def test_the_step_of_clients_that_do_not_all_run_gives_no_idle():
    watched = {"idle_pct": 30.0, "busy_ms_per_step": 5.6, "batching": "serialised"}
    turns = [turn("bare", 9.0), turn("activity", 9.0, watched=watched)]
    assert list(all_runs.cells(turns))[-3:] == ["1.000 (1)", "–", "0 of 1"]
