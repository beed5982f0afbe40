"""What serving engines say of their own steps on `/metrics`, without idlescope inside them.

Names: vLLM 0.24 `v1/metrics/loggers.py`, SGLang 0.5.13 `srt/observability/metrics_collector.py`,
Dynamo `lib/runtime/src/metrics/prometheus_names.rs` (workers pass on what their engine exports).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from idlescope.capture.server.address import ServerEngine
from idlescope.capture.server.counters import Reading
from idlescope.capture.server.step_time import (
    METHODS,
    Method,
    difference,
    latency_method,
    step_by,
)

UNTOLD = "idle cannot be told: "  # how the note begins that says why
INSIDE = "start it with IDLESCOPE_WATCH=1 and idlescope installed beside it"
SGLANG_FORWARD = "sglang:forward_execution_seconds_total"
SGLANG_OCCUPANCY = "sglang:fwd_occupancy"  # per cent
SGLANG_NO_WORK = "sglang:scheduler_idle_seconds_total"
SGLANG_TIMER = "SGLANG_ENABLE_METRICS_DEVICE_TIMER=1"
CATEGORY = re.compile(r',?category="[^"]*"')


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What a server's own counters tell of some time; None: cannot be told."""

    engine: str
    seconds: float  # between the first reading and the last
    step_ms: float | None
    step_by: str  # how that is known; "" where it is not
    forward_pct: float | None  # of the time a forward pass was on the device
    no_work_pct: float | None  # of the time the scheduler had no request
    requests_running: float | None
    requests_waiting: float | None
    tokens_per_s: float | None
    notes: list[str]  # what cannot be told, and why


class Exporter(NamedTuple):
    """The names under which an engine exports."""

    engine: str  # as people write it
    prefix: str
    methods: Sequence[Method]
    running: str
    waiting: str
    tokens: str


EXPORTERS = (
    Exporter(
        "vLLM",
        "vllm:",
        METHODS[ServerEngine.VLLM],
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:generation_tokens_total",
    ),
    Exporter(
        "SGLang",
        "sglang:",
        METHODS[ServerEngine.SGLANG],
        "sglang:num_running_reqs",
        "sglang:num_queue_reqs",
        "sglang:generation_tokens_total",
    ),
    Exporter(
        "Dynamo",
        "dynamo_",
        (latency_method("dynamo_frontend_inter_token_latency_seconds"),),
        "dynamo_frontend_inflight_requests",
        "dynamo_frontend_queued_requests",
        "dynamo_frontend_output_tokens_total",
    ),
)
PREFIXES = tuple(exporter.prefix for exporter in EXPORTERS)


def exporter_of(reading: Reading) -> Exporter | None:
    """Return whose counters a page holds; an engine's own go before those of what is around it."""
    for exporter in EXPORTERS:
        if any(name.startswith(exporter.prefix) for name in reading.values):
            return exporter
    return None


def exported(exporter: Exporter, readings: Sequence[Reading]) -> Exported:
    """Return what the counters tell of the time from the first reading to the last.

    `readings` is at least one; of a single one only what is true at an instant is told.
    """
    first, last = readings[0], readings[-1]
    seconds = last.time_s - first.time_s
    step = step_by(exporter.methods, readings)
    tokens = difference(first, last, exporter.tokens)
    counts_tokens = seconds > 0 and bool(last.series(exporter.tokens))
    forward_pct = _forward_pct(readings)
    step_ms = _finite(None if step is None else step.step_ms)
    return Exported(
        engine=exporter.engine,
        seconds=seconds,
        step_ms=step_ms,
        step_by="" if step is None or step_ms is None else step.method,
        forward_pct=forward_pct,
        no_work_pct=_share_pct(first, last, SGLANG_NO_WORK),
        requests_running=_finite(last.total(exporter.running)),
        requests_waiting=_finite(last.total(exporter.waiting)),
        tokens_per_s=_finite(tokens / seconds if counts_tokens else None),
        notes=[*_of_step(step_ms is not None, seconds), _of_idle(exporter, forward_pct)],
    )


def _finite(value: float | None) -> float | None:
    """Return a figure; None for NaN and infinity, which gauges have that were never set."""
    return value if value is not None and math.isfinite(value) else None


def _forward_pct(readings: Sequence[Reading]) -> float | None:
    """Return how much of the time SGLang's forward passes filled, on the average over its ranks."""
    counted = _share_pct(readings[0], readings[-1], SGLANG_FORWARD)
    if counted is not None:
        return counted
    values = [
        value
        for reading in readings
        for value in reading.series(SGLANG_OCCUPANCY).values()
        if math.isfinite(value)
    ]
    return sum(values) / len(values) if values else None


def _share_pct(first: Reading, last: Reading, name: str) -> float | None:
    """Return by which share of the time a counter of seconds grew, on the average over ranks."""
    ranks = {CATEGORY.sub("", labels) for labels in last.series(name)}
    seconds = last.time_s - first.time_s
    if not ranks or seconds <= 0:
        return None
    return _finite(100.0 * difference(first, last, name) / seconds / len(ranks))


def _of_step(is_told: bool, seconds: float) -> list[str]:
    if is_told or seconds <= 0:
        return []
    return ["the time of a step cannot be told: too few tokens or steps were counted"]


def _of_idle(exporter: Exporter, forward_pct: float | None) -> str:
    """Return what the engine's counters cannot tell of its device."""
    if forward_pct is not None:
        return (
            "forward passes are timed by events around them: gaps inside count as busy, and why "
            f"the device was idle between them cannot be told: {INSIDE}"
        )
    if exporter.prefix == "sglang:":
        return (
            f"{UNTOLD}{SGLANG_TIMER} lets SGLang export how much of the time its "
            f"forward passes fill, though not why; or {INSIDE}"
        )
    if exporter.prefix == "dynamo_":
        return (
            f"{UNTOLD}Dynamo's front end knows the time from token to token as "
            f"requests see it; give a worker's address, or {INSIDE}"
        )
    return (
        f"{UNTOLD}vLLM exports the time of its steps, not when its device "
        f"computes: {INSIDE}"
    )
