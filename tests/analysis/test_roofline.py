"""What a GPU achieved of its peaks: by hand, from recordings, and from the names that engines give to their steps."""

from __future__ import annotations

import json

import pytest

import idlescope
from idlescope import RunConfig, run
from idlescope.analysis.roofline import achieved_pct
from idlescope.hardware.gpus import gpu
from idlescope.models.presets import model
from idlescope.trace.model import Operations
from tests.conftest import FIXTURES
from tests.make.kineto_files import call, document, operation, span

MS = 1_000_000


def trace(
    tmp_path, names=("",), step_ns=28 * MS, kernel_ns=27 * MS, steps=4, device="NVIDIA H200"
):
    """A loop with one kernel a step, and a span of the engine around each step if it has a name."""
    events = []
    for i in range(steps):
        t = i * step_ns
        end = t + 10_000 + kernel_ns
        events += [
            call(t + 1000, t + 2000, i + 1, "cudaGraphLaunch"),
            operation(t + 10_000, end, correlation=i + 1),
        ]
        events += [call(t + 3000, end + 1000, 0, "cudaStreamSynchronize")]
        if name := names[i % len(names)]:
            events.append(span(t, t + step_ns - 1000, name))
    path = tmp_path / "t.json"
    path.write_text(
        json.dumps({**document(events), "deviceProperties": [{"id": 0, "name": device}]})
    )
    return idlescope.open(path)


def test_the_published_run_is_at_a_quarter_of_the_roofline(tmp_path):
    # 8B, batch 32, 4,350 tokens of context each: 15.0 GB of weights and 131,072 B a token; 4.8
    # TB/s; 27.9 of 28.0 ms
    made = trace(tmp_path, step_ns=28 * MS, kernel_ns=27_900_000)
    (device,) = idlescope.analyze(
        made, model=model("8b"), batch_size=32, context=4350
    ).results
    r = device.roofline
    moved = 2 * (32 * 218_103_808 + 4096 * 128_256) + 131_072 * 32 * 4350
    assert r.bytes_per_step == moved
    assert r.active_roofline_pct == pytest.approx(100 * moved / 4.8e12 / 27.9e-3, rel=1e-3)
    assert r.bandwidth_pct == pytest.approx(100 * moved / 4.8e12 / 28e-3, rel=0.01)
    assert "at 25 % of the roofline of one NVIDIA H200 SXM" in r.text()
    assert "Llama-3.1-8B, batch 32, 4,350 tokens of context per request" in r.text()
    entry = device.to_json()["roofline"]
    assert (entry["gpu"], entry["steps"], entry["roofline_pct"]) == (
        "h200",
        4,
        r.roofline_pct,
    )


def test_span_names_say_more_than_what_is_given_for_the_steps_they_name(tmp_path):
    made = trace(tmp_path, names=["execute_context_0(0)_generation_8(8)"])
    (device,) = idlescope.analyze(
        made, model=model("1b"), batch_size=99, context=100
    ).results
    assert device.steps.found == "vllm spans"
    assert device.roofline.bytes_per_step == model("1b").step_bytes(800)
    assert device.roofline.flops_per_step == model("1b").step_flops(8, 8, 800)


def test_steps_whose_tokens_are_not_known_are_left_out(tmp_path):
    made = trace(tmp_path, names=["execute_new_0_cached_8", "execute_new_2_cached_6"])
    (device,) = idlescope.analyze(made, model=model("1b")).results
    assert device.roofline.steps == 2
    assert (
        "at the least: the context is not known, so that only weights count as read"
        in device.roofline.text()
    )
    assert device.roofline.bytes_per_step == model("1b").step_bytes(0)


def test_what_is_not_known_has_no_roofline(tmp_path):
    assert (
        idlescope.analyze(trace(tmp_path), model=model("1b")).results[0].roofline is None
    )  # no batch
    assert idlescope.analyze(trace(tmp_path)).results[0].roofline is None  # no model
    old = trace(tmp_path, device="Tesla V100-SXM2-16GB")
    assert (
        idlescope.analyze(old, model=model("1b"), batch_size=8).results[0].roofline is None
    )  # no peaks
    named = (
        idlescope.analyze(old, model=model("1b"), batch_size=8, gpu=gpu("l40s"))
        .results[0]
        .roofline
    )
    assert named.gpu.key == "l40s"


def test_a_recording_says_itself_what_it_had_to_do():
    made = run(
        RunConfig(
            model="8b",
            tokens=100,
            batch_size=32,
            host_ms=2,
            device="modelled:h100",
            mode="sync",
        )
    )
    (device,) = made.modes["sync"].analysis.results
    r = device.roofline
    assert (r.gpu.key, r.basis, r.steps) == ("h100", "as recorded", 100)
    assert r.roofline_pct == pytest.approx(
        made.summary()["modes"]["sync"]["roofline_pct"], rel=0.01
    )
    assert r.bytes_per_step == pytest.approx(
        float(device.operations.bytes[device.operations.flops > 0].mean())
    )


def test_transformers_decode_step_on_an_h200():
    analysis = idlescope.analyze(
        idlescope.open(FIXTURES / "transformers_async.json.gz"),
        model=model("8b"),
        batch_size=32,
        context=512,
    )
    # (15.0 GB + 131,072 B x 32 x 512) / 4.8 TB/s = 3.6 ms of 13.4
    assert analysis.results[0].roofline.active_roofline_pct == pytest.approx(26.7, abs=0.3)


def test_real_names_of_real_engines(shared_traces):
    vllm = idlescope.analyze(
        idlescope.open(shared_traces / "vllm_decode_hipgraph_mi300.json.gz"),
        model=model("8b"),
        gpu=gpu("h200"),
    )
    assert vllm.results[0].roofline.bytes_per_step == model("8b").step_bytes(55086)
    sglang = idlescope.analyze(
        idlescope.open(shared_traces / "sglang_qwen3_8b_decode_mi300x.json.gz"),
        model=model("qwen3-8b"),
        gpu=gpu("h200"),
    )
    # SGLang's own span tells of the batch; ROCm's, which names the lengths too, stands in the same
    # step
    assert sglang.results[0].roofline.bytes_per_step >= model("qwen3-8b").step_bytes(0)


def test_roofline_share_is_ideal_time_over_the_window():
    peak = gpu("h200")
    work = Operations.of(
        start=[0, 10],
        end=[10, 20],
        kind=[3, 1],
        device=[0, 0],
        stream=[0, 1],
        name=[0, 0],
        correlation=[1, 2],
        step=[0, 0],
        bytes=[int(peak.bytes_per_s / 1e3), 64],
        flops=[1.0, 0.0],
    )
    assert achieved_pct(work, 4_000_000, peak) == pytest.approx(25.0)
    assert achieved_pct(work.take(slice(1, 2)), 100, peak) is None
