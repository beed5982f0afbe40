"""The time of a step is worked out from counters whose truth is known."""

from __future__ import annotations

import pytest

from idlescope.capture.server.address import ServerEngine
from idlescope.capture.server.counters import Reading, parse
from idlescope.capture.server.step_time import (
    growth,
    steps_done,
    stood_still,
    unprofiled_step,
    was_idle,
)

VLLM, SGLANG = ServerEngine


def vllm(time_s, steps, running=4, latency_s=0.01):
    tokens = steps * 4
    return Reading(
        time_s,
        {
            "vllm:iteration_tokens_total_count": {"0": steps},
            "vllm:generation_tokens_total": {"0": tokens},
            "vllm:num_requests_running": {"0": running},
            "vllm:inter_token_latency_seconds_count": {"0": tokens},
            "vllm:inter_token_latency_seconds_sum": {"0": tokens * latency_s},
        },
    )


def test_a_page_is_parsed_by_name_and_labels():
    page = """# TYPE vllm:a counter
vllm:a{x="1 } 2",y="\\"q\\""} 3.5 1700000000
vllm:a{x="2"} 1e3
vllm:b 7
vllm:b_bucket{le="1"} 7
vllm:broken seven
other:a 1
"""
    labels = ['{x="1 } 2",y="\\"q\\""}', '{x="2"}']
    assert parse(page, "vllm:") == {
        "vllm:a": dict(zip(labels, (3.5, 1000), strict=True)),
        "vllm:b": {"": 7},
    }


def test_a_step_is_what_it_was_before_the_recording_and_the_spread_is_that_of_the_intervals():
    before = [vllm(0, 0), vllm(1, 100), vllm(2, 225)]  # 10 and 8 ms
    slowed = [vllm(10, 1000), vllm(11, 1050), vllm(12, 1100)]  # 20 ms
    step = unprofiled_step(VLLM, before, slowed)
    assert step.step_ms == pytest.approx(2000 / 225)
    assert (step.low_ms, step.high_ms) == (8, 10)
    assert "vllm:iteration_tokens_total" in step.method
    assert "after" not in step.method
    assert steps_done(before[0], slowed[-1]) == 1100
    assert growth(before)["vllm:iteration_tokens_total_count"] == 225


def test_where_only_the_readings_after_tell_that_is_said():
    still = [vllm(0, 5, running=0), vllm(1, 5, running=0)]
    step = unprofiled_step(VLLM, still, [vllm(10, 1000), vllm(11, 1050)])
    assert step.step_ms == pytest.approx(20)
    assert "after the recording, which may still slow it" in step.method


def test_sglangs_throughput_is_old_where_no_token_came():
    def reading(time_s, tokens):
        values = {
            "sglang:gen_throughput": {"a": 1000.0},
            "sglang:num_running_reqs": {"a": 8.0},
            "sglang:inter_token_latency_seconds_count": {"a": tokens},
        }
        return Reading(time_s, values)

    assert unprofiled_step(SGLANG, [reading(0, 7), reading(1, 7)], []) is None
    assert stood_still(SGLANG, reading(0, 7), reading(1, 7))
    assert not was_idle(
        SGLANG, reading(0, 7), reading(1, 7)
    )  # what runs it may say too late


def test_each_engine_of_several_makes_its_own_steps():
    readings = [
        Reading(time_s, {"vllm:iteration_tokens_total_count": {"0": steps, "1": steps}})
        for time_s, steps in ((0, 0), (1, 100))
    ]
    assert unprofiled_step(VLLM, readings, []).step_ms == pytest.approx(10)


def test_where_requests_come_and_go_it_is_the_latency_from_token_to_token():
    readings = [vllm(0, 0), vllm(1, 100), vllm(2, 100, running=0)]
    step = unprofiled_step(VLLM, readings, [])
    assert step.step_ms == pytest.approx(10)
    assert "inter_token_latency" in step.method


def test_sglang_is_told_by_its_latency_else_by_its_throughput():
    def reading(time_s, tokens, with_latency):
        values = {
            "sglang:gen_throughput": {"a": 1000.0},
            "sglang:num_running_reqs": {"a": 8.0},
        }
        if with_latency:
            values["sglang:inter_token_latency_seconds_count"] = {"a": tokens}
            values["sglang:inter_token_latency_seconds_sum"] = {"a": tokens * 0.0076}
        return Reading(time_s, values)

    for with_latency, expected in ((True, 7.6), (False, 8.0)):
        readings = [reading(0, 0, with_latency), reading(1, 500, with_latency)]
        assert unprofiled_step(SGLANG, readings, []).step_ms == pytest.approx(expected)


def sglang_passes(time_s, passes, latency_s, running=32, behind=0):
    decode, prefill = (
        f'{{model_name="m",mode="{mode}",tp_rank="0"}}'
        for mode in ("decode_cuda_graph", "prefill_none")
    )
    tokens = (passes + behind) * 20  # of 32: the front end is behind
    return Reading(
        time_s,
        {
            "sglang:cuda_graph_passes_total": {decode: passes, prefill: passes / 100},
            "sglang:num_running_reqs": {'{model_name="m",tp_rank="0"}': running},
            "sglang:inter_token_latency_seconds_count": {"a": tokens},
            "sglang:inter_token_latency_seconds_sum": {"a": tokens * latency_s},
        },
    )


def test_sglangs_passes_tell_its_step_where_its_front_end_lags_behind():
    readings = [sglang_passes(0, 1000, 0.0025), sglang_passes(2, 2100, 0.0025)]
    step = unprofiled_step(SGLANG, readings, [])
    assert step.step_ms == pytest.approx(2000 / 1111)  # prompts are steps, too
    assert step.method == "passes counted by the server's sglang:cuda_graph_passes_total"


@pytest.mark.parametrize("running", [0, 32])  # 32: it says so still, though they are gone
def test_sglangs_passes_do_not_tell_its_step_where_requests_were_gone(running):
    readings = [
        sglang_passes(0, 1000, 0.0025),
        sglang_passes(1, 1500, 0.0025, running),
        # the front end still hands out what came before
        sglang_passes(2, 1500, 0.0025, running, behind=100),
    ]
    step = unprofiled_step(SGLANG, readings, [])
    assert step.step_ms == pytest.approx(2.5)
    assert "inter_token_latency" in step.method


def test_counters_that_do_not_move_tell_nothing():
    still = [vllm(0, 5, running=0), vllm(1, 5, running=0)]
    assert unprofiled_step(VLLM, still, still) is None
    assert unprofiled_step(VLLM, [], []) is None
    assert was_idle(VLLM, *still)
    assert not was_idle(VLLM, vllm(0, 5), vllm(1, 5))  # a long prompt is being worked on
    assert not was_idle(VLLM, vllm(0, 5, running=0), vllm(1, 6, running=0))
    assert not was_idle(VLLM, Reading(0, {}), Reading(1, {}))  # it does not say


def with_prompts(times_s, passes, prompts):
    labels = '{engine_type="unified"}'
    return [
        Reading(
            time_s,
            {
                "sglang:cuda_graph_passes_total": {labels: counted},
                "sglang:num_running_reqs": {labels: 32},
                "sglang:prompt_tokens_total": {labels: prompt_tokens},
            },
        )
        for time_s, counted, prompt_tokens in zip(times_s, passes, prompts, strict=True)
    ]


TIMES_S = (0.0, 0.5, 1.0, 1.5, 2.0)


@pytest.mark.parametrize(
    ("passes", "prompts"),
    [
        ((0, 160, 230, 400, 570), (0, 0, 8192, 8192, 8192)),  # as it was on an H200
        ((0, 70, 240, 410, 580), (0, 8192, 8192, 8192, 8192)),
        ((0, 170, 340, 510, 580), (0, 0, 0, 0, 8192)),
    ],
)
def test_an_interval_in_which_all_prompts_came_says_nothing_of_decoding(passes, prompts):
    step = unprofiled_step(SGLANG, with_prompts(TIMES_S, passes, prompts), [])
    assert step.step_ms == pytest.approx(500 / 170)
    assert (step.low_ms, step.high_ms) == (
        pytest.approx(500 / 170),
        pytest.approx(500 / 170),
    )


def test_a_load_of_prompts_is_measured_with_them():
    readings = with_prompts(TIMES_S, (0, 100, 220, 300, 400), (0, 200, 900, 900, 1800))
    step = unprofiled_step(SGLANG, readings, [])
    assert step.step_ms == pytest.approx(2000 / 400)
    assert step.high_ms == pytest.approx(500 / 80)
