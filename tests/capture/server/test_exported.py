"""What engines export themselves, and what that cannot tell."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from idlescope.capture.server.counters import Reading, parse
from idlescope.capture.server.exported import (
    EXPORTERS,
    PREFIXES,
    SGLANG_FORWARD,
    SGLANG_OCCUPANCY,
    exported,
    exporter_of,
)

VLLM_NAMES, SGLANG_NAMES = (
    (exporter.running, exporter.waiting, exporter.tokens) for exporter in EXPORTERS[:2]
)
SGLANG_NAMES = (*SGLANG_NAMES, SGLANG_FORWARD, SGLANG_OCCUPANCY)


def reading(time_s, page):
    return Reading(time_s, parse(page, PREFIXES))


def told(first, last, seconds=2.0):
    readings = [reading(10.0, first), reading(10.0 + seconds, last)]
    return exported(exporter_of(readings[0]), readings)


def test_vllm_says_how_long_a_step_takes_but_not_why():
    page = (
        'vllm:iteration_tokens_total_count{{engine="0"}} {0}\n'
        'vllm:num_requests_running{{engine="0"}} 32\n'
        'vllm:num_requests_waiting{{engine="0"}} 3\n'
        'vllm:generation_tokens_total{{engine="0"}} {1}\n'
    )
    now = told(page.format(100, 3_200), page.format(350, 11_200))
    assert now.engine == "vLLM"
    assert now.step_ms == pytest.approx(8)
    assert now.tokens_per_s == pytest.approx(4_000)
    assert (now.requests_running, now.requests_waiting) == (32, 3)
    assert now.forward_pct is None
    assert now.notes[-1].startswith(
        "idle cannot be told: vLLM exports the time of its steps"
    )


SGLANG = (
    'sglang:inter_token_latency_seconds_sum{{tp_rank="0"}} {0}\n'
    'sglang:inter_token_latency_seconds_count{{tp_rank="0"}} {1}\n'
    'sglang:num_running_reqs{{tp_rank="0"}} 32\n'
)


def test_sglang_without_its_device_timer_says_how_to_turn_it_on():
    now = told(SGLANG.format(1.0, 100), SGLANG.format(3.28, 400))
    assert now.step_ms == pytest.approx(7.6)
    assert "SGLANG_ENABLE_METRICS_DEVICE_TIMER=1" in now.notes[-1]


def test_seconds_of_forward_passes_are_a_share_of_the_time_of_each_rank():
    forward = "".join(
        f'sglang:forward_execution_seconds_total{{{{category="{kind}",tp_rank="{rank}"}}}} {{0}}\n'
        for kind in ("decode", "extend")
        for rank in (0, 1)
    )
    page = forward + "sglang:scheduler_idle_seconds_total {1}\n"
    now = told(page.format(5.0, 1.0), page.format(5.8, 1.2))
    assert now.forward_pct == pytest.approx(80)
    assert now.no_work_pct == pytest.approx(10)
    assert "why the device was idle between them cannot be told" in now.notes[-1]


def test_occupancy_is_taken_where_seconds_are_not_exported():
    page = 'sglang:fwd_occupancy{{tp_rank="0"}} {}\n'
    assert told(page.format("82.0"), page.format("80.0")).forward_pct == pytest.approx(81)
    assert told(page.format("nan"), page.format("NaN")).forward_pct is None


def test_a_front_end_of_dynamo_knows_tokens_as_requests_see_them():
    page = (
        'dynamo_frontend_inter_token_latency_seconds_sum{{model="m"}} {0}\n'
        'dynamo_frontend_inter_token_latency_seconds_count{{model="m"}} {1}\n'
        'dynamo_frontend_inflight_requests{{model="m"}} 4\n'
        'dynamo_frontend_output_tokens_total{{model="m"}} {1}\n'
    )
    now = told(page.format(1, 100), page.format(2, 200))
    assert now.step_ms == pytest.approx(10)
    assert now.tokens_per_s == pytest.approx(50)
    assert "give a worker's address" in now.notes[-1]


def test_a_worker_of_dynamo_passes_on_what_its_engine_exports():
    page = "dynamo_component_uptime_seconds 3\nvllm:num_requests_running 1\n"
    assert exporter_of(reading(0, page)).engine == "vLLM"


def test_too_few_tokens_tell_no_step():
    now = told(SGLANG.format(1, 100), SGLANG.format(1, 101))
    assert now.step_ms is None
    assert now.notes[0].startswith("the time of a step cannot be told")


def test_one_reading_tells_what_is_true_at_an_instant():
    first = reading(0, SGLANG.format(1, 100))
    now = exported(exporter_of(first), [first])
    assert now.requests_running == 32
    assert (now.step_ms, now.tokens_per_s, now.seconds) == (None, None, 0)


def test_a_page_of_others_is_nobodys():
    assert exporter_of(reading(0, "python_gc_objects_collected_total 3\n")) is None


@pytest.mark.parametrize("value", ["NaN", "+Inf"])
def test_what_was_never_set_is_not_told(value):
    page = SGLANG.format(1, 100).replace(" 32", f" {value}")
    page += f"sglang:generation_tokens_total {value}\n"
    page += f"sglang:scheduler_idle_seconds_total {value}\n"
    now = told(page, page.replace(" 100", f" {value}"))
    assert (now.step_ms, now.requests_running, now.tokens_per_s) == (None,) * 3
    assert now.no_work_pct is None
    assert now.step_by == ""


@pytest.mark.parametrize(
    ("package", "source", "counts"),
    [
        ("vllm", "v1/metrics/loggers.py", VLLM_NAMES),
        ("sglang", "srt/observability/metrics_collector.py", SGLANG_NAMES),
    ],
)
def test_an_engine_that_is_installed_here_exports_under_these_names(
    package, source, counts
):
    """Found, not imported: that takes a GPU."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    path = Path(found.submodule_search_locations[0]) / source
    text = path.read_text(encoding="utf-8")
    missing = {name for name in counts if f'"{name.removesuffix("_total")}' not in text}
    assert not missing
