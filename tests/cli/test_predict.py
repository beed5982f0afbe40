"""`idlescope predict`: a table and a sentence, the same as JSON, and what it refuses."""

from __future__ import annotations

import json

import pytest

from tests.conftest import FIXTURES
from tests.make.commands import SMALL, idlescope, refused


def test_predict_prints_a_table_and_a_sentence_and_the_same_as_json():
    sync = FIXTURES / "transformers_sync.json.gz"
    shown = idlescope("predict", sync)
    assert shown.returncode == 0
    for part in (
        "6 steps (transformers spans)",
        "recorded, synchronous",
        "\nasynchronous ",
        "17.61 ms",
        "20.9 % less",
    ):
        assert part in shown.stdout
    assert "tokens/s" not in shown.stdout  # the trace does not say how many there were
    result = idlescope(
        "predict",
        sync,
        "--device",
        "0.7",
        "--host",
        "0.5",
        "--depth",
        "3",
        "--without",
        "prepare",
        "--json",
    )
    made = json.loads(result.stdout)
    (device,) = made["devices"]
    assert (made["schema"], made["cannot_tell"], device["recorded_depth"]) == (1, [], 1)
    assert device["what"] == "3 in flight, host × 0.5, device × 0.7, no prepare"
    assert device["predicted"]["step_ms"] == pytest.approx(0.7 * 13.93, rel=0.01)
    assert (
        device["host_free"]["total_s"]
        <= device["predicted"]["total_s"]
        < device["recorded"]["total_s"]
    )
    assert {lever["name"] for lever in device["levers"]} >= {
        "host twice as fast",
        "GPU twice as fast",
        "4 in flight",
    }


def test_predict_works_on_recordings_and_their_perfetto_traces_alike(undrawn, tmp_path):
    assert (
        idlescope(
            *SMALL, "--host-ms", "1", "--device-ms", "2", "--out", tmp_path / "r"
        ).returncode
        == 0
    )
    by_recording, by_trace = (
        json.loads(idlescope("predict", tmp_path / "r" / name, "--json").stdout)["devices"][
            0
        ]
        for name in ("sync.recording", "sync.trace.json.gz")
    )
    assert by_recording["predicted"] == by_trace["predicted"]
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert by_recording["predicted"] == summary["predicted"]
    assert by_recording["predicted"]["total_s"] == pytest.approx(
        summary["modes"]["async"]["total_s"], rel=1e-3
    )


def test_predict_refuses_in_a_sentence(trace):
    refused(idlescope("predict", trace), "cannot tell what device 0 would do: ")
    refused(
        idlescope("predict", FIXTURES / "loop_sync.json.gz", "--without", "tea"),
        "is called 'tea': it has ",
    )
    refused(
        idlescope("predict", FIXTURES / "loop_sync.json.gz", "--depth", "0"), "--depth is 0"
    )
    refused(
        idlescope("predict", FIXTURES / "cpu_engine.json.gz"), "holds no device operations"
    )
