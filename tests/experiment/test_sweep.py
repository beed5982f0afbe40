"""Sweeps: the grid, what is kept and taken up again, what fails beside the rest, and what the figures say."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest

from idlescope import RunConfig, run
from idlescope.errors import ConfigError
from idlescope.experiment import answers, environment, sweep
from idlescope.experiment.cell_pool import CellPool
from idlescope.experiment.cells import Cell, CellState, grid, is_fixed, kept, place
from idlescope.experiment.device_choice import choose
from idlescope.experiment.sweep import measure
from idlescope.report import sweep_report
from idlescope.report.figures import heatmap
from idlescope.report.tables import sweep as report

FIXED = {
    "models": ["tiny"],
    "devices": ["modelled:a100"],
    "hosts": [2.0],
    "tokens": 20,
    "prompt_tokens": 8,
}


def ran(configs, folder, jobs=1):
    return {cell.config: cell for cell in sweep.sweep(configs, folder, jobs)}


def row(batch, mode="sync", idle=0.0, **others):
    known = {
        "model": "1b",
        "device": "modelled:h200",
        "host_ms": 3.0,
        "state": CellState.DONE,
        "reason": None,
        "speedup": None,
        "device_name": None,
    }
    return {**known, "batch_size": batch, "mode": mode, "idle_pct": idle, **others}


class TestGrid:
    def test_every_combination_is_there_once_with_ascending_batch_sizes(self):
        cells = grid(
            ["1b", "8b", "1b"],
            ["modelled", "modelled:H200", "modelled:a100"],
            [None, 2.0],
            [32, 1, 8, 32],
        )
        places = [(c.device, c.model, c.host_ms, c.batch_size) for c in cells]
        assert len(set(places)) == len(places) == 2 * 2 * 2 * 3
        assert places[:4] == [
            ("modelled:h200", "1b", None, 1), ("modelled:h200", "1b", None, 8), ("modelled:h200", "1b", None, 32),
            ("modelled:h200", "1b", 2.0, 1),
        ]  # fmt: skip

    def test_auto_is_what_it_stands_for_here(self, monkeypatch):
        monkeypatch.setattr(choose, "cuda_available", lambda: False)
        assert [c.device for c in grid(["1b"], ["auto"], [None], [1])] == ["modelled:h200"]

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"models": ["tiny", "x"]}, "no model is known as 'x'"),
            ({"devices": ["gpu"]}, "no device is called 'gpu'"),
            ({"hosts": [-1.0]}, "--host-ms is -1.0"),
            ({"batches": [0]}, "--batch-size is 0"),
            (
                {"batches": [10_000]},
                "--max-batch-tokens 8192 is less than --batch-size 10000",
            ),
            ({"tokens": 20_000}, "exceed the 16384 positions"),
        ],
    )
    def test_what_no_cell_may_be_is_refused_before_anything_runs(self, changed, reason):
        with pytest.raises(ConfigError, match=reason):
            grid(**{**FIXED, "batches": [1], **changed})

    def test_only_a_modelled_gpu_whose_host_is_not_timed_is_fixed(self):
        assert is_fixed(RunConfig(device="modelled:h200", host_ms=1.0))
        assert is_fixed(RunConfig(device="modelled:h200"))
        assert not is_fixed(RunConfig(device="modelled:h200", host_profile="measured-here"))
        assert not is_fixed(RunConfig(device="cpu", model="tiny", host_ms=1.0))


class TestRunning:
    def test_side_by_side_and_alone_give_the_same_figures_as_a_run(self, tmp_path):
        configs = grid(batches=[1, 2, 4], **FIXED)
        for name in ("alone", "beside"):
            (tmp_path / name).mkdir()
        alone, beside = (
            ran(configs, tmp_path / "alone"),
            ran(configs, tmp_path / "beside", jobs=2),
        )
        assert alone == beside
        assert set(alone) == set(configs)
        assert alone[configs[1]].summary == run(configs[1]).summary()
        files = [
            {p.name: p.read_bytes() for p in (tmp_path / n).iterdir()}
            for n in ("alone", "beside")
        ]
        assert files[0] == files[1]
        assert len(files[0]) == 3

    def test_where_time_is_measured_no_process_runs_beside_it(self, tmp_path, monkeypatch):
        monkeypatch.setattr(
            sweep, "_side_by_side", lambda *_: pytest.fail("ran side by side")
        )
        timed = {**FIXED, "hosts": [None], "host_profile": "measured-here"}
        configs = grid(batches=[1, 2], **timed)
        assert {cell.state for cell in ran(configs, tmp_path, jobs=8).values()} == {
            CellState.DONE
        }

    def test_what_does_not_fit_is_refused_and_the_rest_is_run(self, tmp_path):
        cells = ran(grid(batches=[1], **{**FIXED, "models": ["70b", "tiny"]}), tmp_path)
        assert {cell.config.model: cell.state for cell in cells.values()} == {
            "70b": CellState.REFUSED,
            "tiny": CellState.DONE,
        }
        (refused,) = (cell for cell in cells.values() if cell.state == CellState.REFUSED)
        assert refused.reason == (
            "Llama-3.1-70B with one request of 28 tokens needs 141.1 GB and NVIDIA A100 SXM 80GB has 72.0 GB to use"
        )

    def test_a_cell_that_fails_is_kept_with_the_reason_and_the_rest_is_run(
        self, tmp_path, monkeypatch
    ):
        def broken(config, progress=None):
            if config.batch_size == 2:
                raise RuntimeError("CUDA error: an illegal memory access")
            return run(config, progress)

        monkeypatch.setattr(sweep, "run", broken)
        cells = ran(grid(batches=[1, 2, 4], **FIXED), tmp_path)
        assert [cell.state for cell in cells.values()] == [
            CellState.DONE,
            CellState.FAILED,
            CellState.DONE,
        ]
        config, failed = list(cells.items())[1]
        assert failed.reason.startswith(
            "RuntimeError: CUDA error: an illegal memory access ("
        )
        assert json.loads(place(config, tmp_path).read_text())["reason"] == failed.reason

    def test_a_worker_that_is_killed_fails_its_cells_and_hangs_nothing(
        self, tmp_path, monkeypatch
    ):
        pools = opened_pools(monkeypatch)
        states = []
        for cell in sweep.sweep(
            grid(batches=range(1, 13), **{**FIXED, "tokens": 200}), tmp_path, 2
        ):
            if not states:
                for worker in list(pools[0].workers):
                    worker.kill()
            states.append(cell.state)
        assert len(states) == 12
        assert {CellState.DONE, CellState.FAILED} == set(states)

    def test_an_end_of_the_iteration_ends_the_workers(self, tmp_path, monkeypatch):
        pools = opened_pools(monkeypatch)
        cells = sweep.sweep(
            grid(batches=range(1, 30), **{**FIXED, "tokens": 200}), tmp_path, 2
        )
        first = next(cells)
        workers = list(pools[0].workers)
        cells.close()
        # by the signal, or because its input ended
        assert {worker.returncode for worker in workers} <= {-signal.SIGTERM, 1}
        assert kept(first.config, tmp_path) == first

    def test_an_interrupted_cell_is_not_kept(self, tmp_path, monkeypatch):
        interrupted = replace(
            run(RunConfig(model="tiny", device="modelled", tokens=3, host_ms=1.0)), modes={}
        )
        monkeypatch.setattr(sweep, "run", lambda *_: interrupted)
        with pytest.raises(KeyboardInterrupt):
            ran(grid(batches=[1], **FIXED), tmp_path)
        assert list(tmp_path.iterdir()) == []


def opened_pools(monkeypatch):
    """Return the pools that sweeps open from here on."""
    pools = []

    def opened(configs, jobs):
        pools.append(CellPool(configs, jobs))
        return pools[-1]

    monkeypatch.setattr(sweep, "CellPool", opened)
    return pools


class TestKept:
    @pytest.fixture
    def config(self, tmp_path):
        (config,) = grid(batches=[2], **FIXED)
        ran([config], tmp_path)
        return config

    def test_a_cell_is_taken_up_again_as_it_was(self, config, tmp_path):
        assert kept(config, tmp_path) == measure(config)

    def test_another_configuration_or_version_is_not_taken_for_it(
        self, config, tmp_path, monkeypatch
    ):
        for changed in (
            {"tokens": 21},
            {"seed": 1},
            {"mode": "sync"},
            {"host_ms": 2.5},
            {"device": "modelled:h100"},
        ):
            assert kept(replace(config, **changed), tmp_path) is None, changed
        assert kept(config, tmp_path) is not None
        monkeypatch.setattr(environment, "__version__", "0.0.1")
        assert kept(config, tmp_path) is None

    def test_a_file_that_was_changed_or_damaged_is_not_taken(self, config, tmp_path):
        path = place(config, tmp_path)
        whole = json.loads(path.read_text())
        for text in (
            json.dumps({**whole, "config": {**whole["config"], "tokens": 7}}), json.dumps({**whole, "state": CellState.FAILED}),
            path.read_text()[:100], "[]", "",
        ):  # fmt: skip
            path.write_text(text)
            assert kept(config, tmp_path) is None


class TestAnswers:
    @pytest.mark.parametrize(
        ("idle", "said"),
        [
            ({1: 60.0, 8: 12.0, 32: 1.9}, "less than 2 % from batch 32 on (12.0 % at batch 8, 1.9 % at batch 32)"),
            ({1: 60.0, 8: 2.0}, "does not stop idling up to batch 8 (60.0 % at batch 1, 2.0 % at batch 8)"),
            ({1: 1.0, 8: 0.0}, "less than 2 % at every batch size from 1 to 8"),
            ({1: 1.0, 8: 3.0, 32: 0.4}, "less than 2 % from batch 32 on (3.0 % at batch 8, 0.4 % at batch 32)"),
            ({1: 1.0, 8: 0.5, 32: 3.0}, "does not stop idling up to batch 32 (1.0 % at batch 1, 3.0 % at batch 32)"),
            ({4: 50.0}, "does not stop idling up to batch 4 (50.0 % at batch 4)"),
        ],
    )  # fmt: skip
    def test_from_which_batch_size_on_it_stops_idling(self, idle, said):
        (answer,) = answers.answers([row(batch, idle=pct) for batch, pct in idle.items()])
        assert answer.startswith("1b on modelled:h200, host 3 ms per step. Synchronous: ")
        assert said in answer
        assert "faster" not in answer

    def test_each_line_of_the_grid_has_its_own_answer(self):
        table = [row(1), row(1, model="8b"), row(1, host_ms=None, model="8b")]
        assert [answer.partition(".")[0] for answer in answers.answers(table)] == [
            "1b on modelled:h200, host 3 ms per step", "8b on modelled:h200, host 3 ms per step",
            "8b on modelled:h200, host time measured",
        ]  # fmt: skip

    def test_a_host_that_is_modelled_is_named(self):
        table = [
            row(1, host_ms=None, device_name="modelled NVIDIA H200 SXM, host h200-server")
        ]
        (answer,) = answers.answers(table)
        assert answer.startswith("1b on modelled:h200, host h200-server. ")

    def test_the_gain_is_said_where_it_is_largest(self):
        table = [row(b, speedup=gain) for b, gain in ((1, 1.2), (8, 1.8), (32, 1.1))]
        (answer,) = answers.answers(table)
        assert (
            "faster: 1.20 times at batch 1, 1.80 times at batch 8, 1.10 times at batch 32."
            in answer
        )
        (answer,) = answers.answers([row(1, speedup=1.001)])
        assert answer.endswith("Asynchronous batching gains nothing.")

    def test_what_was_not_run_is_said_with_the_reason(self):
        lacking = {"state": CellState.REFUSED, "reason": "too large", "idle_pct": None}
        (answer,) = answers.answers(
            [row(1, idle=5.0), row(8, **lacking), row(32, **lacking)]
        )
        assert "up to batch 1 " in answer
        assert answer.endswith("Not run: batch 8, 32 (too large).")


@pytest.fixture(scope="module")
def cells():
    return [
        measure(c) for c in grid(batches=[1, 4], **{**FIXED, "models": ["tiny", "70b"]})
    ]


class TestTables:
    def test_a_row_has_the_figures_of_the_run(self, cells):
        table = answers.rows(cells)
        assert len(table) == 2 * len(cells)
        assert all(list(r) == list(answers.COLUMNS) for r in table)
        first, of = table[3], cells[1].summary
        assert (
            first["batch_size"],
            first["mode"],
            first["host_ms"],
            first["measured"],
        ) == (
            4,
            "async",
            2.0,
            False,
        )
        assert first["idle_pct"] == 100.0 - of["modes"]["async"]["active_pct"]
        assert first["idle_ms_per_step"] == of["modes"]["async"]["idle_ms_per_step"]
        assert (first["speedup"], first["predicted_s"]) == (
            of["speedup"],
            of["predicted"]["total_s"],
        )
        assert first["predicted_s"] == pytest.approx(
            first["total_s"] * (1 + first["predicted_error_pct"] / 100)
        )
        assert first["tokens_per_step"] == 4.0
        assert {r["state"] for r in table if r["model"] == "70b"} == {CellState.REFUSED}

    def test_the_files_hold_the_rows(self, cells, tmp_path):
        import pandas as pd

        configs = [cell.config for cell in cells]
        summary = report.document(configs, cells)
        written = sweep_report.write(summary, tmp_path)
        assert {p.name for p in written} == {
            "report.html", "table.csv", "table.parquet", "sweep.json",
            "idle.png", "idle.svg", "gain.png", "gain.svg",
        }  # fmt: skip
        assert json.loads((tmp_path / "sweep.json").read_text()) == summary
        assert summary["cells"] == {"all": 4, "done": 2, "refused": 2, "failed": 0}
        for frame in (
            pd.read_csv(tmp_path / "table.csv"),
            pd.read_parquet(tmp_path / "table.parquet"),
        ):
            assert list(frame.columns) == list(answers.COLUMNS)
            assert frame["idle_pct"].tolist()[:4] == [
                r["idle_pct"] for r in summary["rows"][:4]
            ]
            assert frame["idle_pct"].isna().tolist() == [False] * 4 + [True] * 4

    def test_heat_maps_show_every_figure_and_mark_what_was_not_run(self, cells):
        table = answers.rows(cells)
        drawn = heatmap.draw(table)
        texts = [text.get_text() for axis in drawn["idle"].axes for text in axis.texts]
        assert texts.count("–") == 4
        assert set(texts) - {"–"} == {
            f"{r['idle_pct']:.1f}" for r in table if r["idle_pct"] is not None
        }
        (panel,) = drawn["gain"].axes
        assert [t.get_text() for t in panel.texts][:2] == [
            f"{c.summary['speedup']:.2f}×" for c in cells[:2]
        ]
        assert panel.get_title(loc="left") == "modelled NVIDIA A100 SXM 80GB"
        assert [t.get_text() for t in panel.get_yticklabels()] == [
            "tiny, host 2 ms",
            "70b, host 2 ms",
        ]

    def test_one_mode_and_a_grid_that_was_refused_have_their_pictures_too(self):
        one = [measure(c) for c in grid(batches=[1], **FIXED, mode="sync")]
        assert list(heatmap.draw(answers.rows(one))) == ["idle"]
        nothing = [Cell(one[0].config, CellState.REFUSED, "too large", None)]
        assert list(heatmap.draw(answers.rows(nothing))) == ["idle"]
