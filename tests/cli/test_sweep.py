"""`idlescope sweep` as a newcomer uses it, stopped and taken up again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.make.commands import idlescope, refused
from tests.make.ending_signals import obeying
from tests.make.undrawn import UNDRAWN

FIXED = (
    "sweep",
    "--model",
    "tiny",
    "--device",
    "modelled:h200",
    "--tokens",
    "30",
    "--host-ms",
    "1",
)
CELLS = 4
LONG = ("sweep", "--model", "tiny", "--device", "modelled", "--host-ms", "1,2", "--batch-size", "1,4",
        "--tokens", "600")  # fmt: skip


def test_the_question_is_answered_in_a_sentence(tmp_path):
    out = tmp_path / "o"
    result = idlescope(*FIXED, "--batch-size", "1,8", "--batch-size", "4", "--out", out)
    assert result.returncode == 0, result.stderr
    words = " ".join(result.stdout.split())
    assert "tiny modelled:h200 1 ms not to batch 8 not to batch 8 " in words
    (answer,) = json.loads((out / "sweep.json").read_text())["answers"]
    said = "host 1 ms per step. Synchronous: does not stop idling up to batch 8 (9"
    assert f"tiny on modelled:h200, {said}" in answer
    assert "modelled NVIDIA H200 SXM · modelled, not measured" in words
    assert {p.name for p in out.iterdir()} == {
        "cells",
        "figures",
        "sweep.json",
        "table.csv",
        "report.html",
        "table.parquet",
    }
    assert len(list((out / "cells").iterdir())) == 3
    assert sorted(re.findall(r"(?m)^\d/3 tiny modelled:h200 host 1 ms batch (\d+): idle sync 9", result.stdout)) == [
        "1", "4", "8",
    ]  # fmt: skip


def test_json_is_sweep_json_and_nothing_else(undrawn, tmp_path):
    result = idlescope(
        *FIXED, "--batch-size", "2", "--json", "--mode", "async", "--out", tmp_path / "o"
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == json.loads(
        (tmp_path / "o" / "sweep.json").read_text()
    )
    assert [r["mode"] for r in json.loads(result.stdout)["rows"]] == ["async"]


def test_the_cpu_is_swept_one_cell_after_the_other(undrawn, tmp_path):
    pytest.importorskip("torch")
    options = (
        "--device",
        "cpu",
        "--model",
        "tiny,70b",
        "--batch-size",
        "1,4",
        "--tokens",
        "20",
        "--jobs",
        "4",
    )
    result = idlescope("sweep", *options, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "sweep.json").read_text())["rows"]
    assert [(r["model"], r["state"], r["measured"]) for r in rows[::2]] == [
        ("tiny", "done", True), ("tiny", "done", True), ("70b", "refused", None), ("70b", "refused", None),
    ]  # fmt: skip
    assert all(r["steps"] and r["host_ms_per_step"] > 0 for r in rows[:4])
    assert (
        "70b on cpu, host time measured. Not run: batch 1, 4 (Llama-3.1-70B with"
        in " ".join(result.stdout.split())
    )


def test_a_grid_of_which_nothing_can_be_run_is_a_failure_that_is_explained(tmp_path):
    result = idlescope(
        "sweep",
        "--model",
        "70b",
        "--device",
        "modelled:l40s",
        "--batch-size",
        "1",
        "--out",
        tmp_path,
    )
    assert result.returncode == 1
    assert "NVIDIA L40S has 43.2 GB to use" in " ".join(result.stdout.split())
    assert json.loads((tmp_path / "sweep.json").read_text())["cells"]["refused"] == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--batch-size", "1,x"], "--batch-size is 1,x: give numbers with commas between"),
        (["--batch-size", "1.5"], "--batch-size is 1.5"),
        (["--batch-size", ","], "--batch-size names nothing"),
        (["--host-ms", "nan"], "--host-ms is nan"),
        (["--model", "tiny,x"], "no model is known as 'x'"),
        (["--device", "cuda"], "torch sees no CUDA device"),
        (["--jobs", "0"], "--jobs is 0: give 1 or more"),
        (["--mode", "x"], "no mode is called 'x'"),
        (["--resume"], "name it with --out"),
        (
            ["--resume", "--force", "--out", "o"],
            "--resume keeps what --force would replace",
        ),
    ],
)
def test_bad_options_are_one_sentence_and_leave_nothing(options, reason, tmp_path):
    refused(idlescope("sweep", *options, cwd=tmp_path), reason)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    refused(idlescope(*FIXED, "--out", tmp_path), "already holds files")
    refused(idlescope(*FIXED, "--out", tmp_path, "--resume"), "holds files and is no sweep")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_sweep_is_neither_replaced_nor_gone_on_with_unasked(undrawn, tmp_path):
    assert idlescope(*FIXED, "--batch-size", "1", "--out", tmp_path).returncode == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    refused(
        idlescope(*FIXED, "--batch-size", "2", "--out", tmp_path),
        "holds a sweep: --resume goes on with it",
    )
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    larger = idlescope(*FIXED, "--batch-size", "1,2", "--out", tmp_path, "--resume")
    assert larger.returncode == 0, larger.stderr
    assert "1 of 2 cells are in" in larger.stdout
    assert [
        r["batch_size"] for r in json.loads((tmp_path / "sweep.json").read_text())["rows"]
    ] == [
        1,
        1,
        2,
        2,
    ]


class TestStopped:
    def start(self, out, program=("-c", UNDRAWN)):
        environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
        process = subprocess.Popen(
            [sys.executable, *program, *LONG, "--jobs", "2", "--out", str(out)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            preexec_fn=obeying(signal.SIGHUP),  # noqa: PLW1509
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not list(out.glob("cells/[!.]*.json")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return process

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_other_signals_keep_it_too(self, tmp_path, number):
        process = self.start(tmp_path / "o")
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (130, "")
        assert (
            f"of {CELLS} cells are kept; the same command with --resume goes on" in stdout
        )
        assert not list((tmp_path / "o").glob("cells/.*"))

    def test_ctrl_c_keeps_what_ended_and_resume_does_the_rest(self, tmp_path):
        process = self.start(tmp_path / "o", program=("-m", "idlescope"))
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (130, "")
        cells = {
            p: p.stat().st_mtime_ns for p in (tmp_path / "o" / "cells").glob("[!.]*.json")
        }
        assert 0 < len(cells) < CELLS
        assert (
            f"stopped: {len(cells)} of {CELLS} cells are kept; the same command with --resume goes on"
            in stdout
        )
        assert json.loads((tmp_path / "o" / "sweep.json").read_text())["cells"][
            "done"
        ] == len(cells)

        again = idlescope(*LONG, "--jobs", "1", "--out", tmp_path / "o", "--resume")
        assert again.returncode == 0, again.stderr
        assert (
            f"{len(cells)} of {CELLS} cells are in {tmp_path / 'o'} already"
            in again.stdout.replace("\n", "")
        )
        assert {p: p.stat().st_mtime_ns for p in cells} == cells
        whole = idlescope(*LONG, "--jobs", "1", "--out", tmp_path / "whole")
        assert whole.returncode == 0
        for name in (
            "table.csv",
            "report.html",
            "table.parquet",
            "sweep.json",
            "figures/idle.png",
            "figures/gain.svg",
        ):
            assert (tmp_path / "o" / name).read_bytes() == (
                tmp_path / "whole" / name
            ).read_bytes(), name

    @pytest.mark.skipif(
        not Path("/proc/self/task").is_dir(), reason="finds the workers in /proc"
    )
    def test_a_killed_sweep_leaves_no_worker_behind_and_can_be_resumed(
        self, undrawn, tmp_path
    ):
        process = self.start(tmp_path / "o")
        threads = Path(f"/proc/{process.pid}/task").iterdir()
        workers = [
            pid for thread in threads for pid in (thread / "children").read_text().split()
        ]
        assert workers
        process.kill()
        process.communicate(timeout=60)
        deadline = time.monotonic() + 20
        while any(self.alive(pid) for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        again = idlescope(*LONG, "--jobs", "1", "--out", tmp_path / "o", "--resume")
        assert again.returncode == 0, again.stderr
        assert (
            json.loads((tmp_path / "o" / "sweep.json").read_text())["cells"]["done"]
            == CELLS
        )

    def alive(self, pid):
        try:
            return (
                Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
            )
        except OSError:
            return False
