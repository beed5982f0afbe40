"""How long a server's step takes while no profiler records, by its own counters."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from idlescope.capture.server import counters
from idlescope.capture.server.address import ServerEngine
from idlescope.capture.server.client import Client
from idlescope.capture.server.counters import Reading
from idlescope.trace.unprofiled import UnprofiledStep

BASELINE_S = 2.0  # that the counters are watched for, before and after a recording
READINGS = 5  # in that time: four intervals, whose spread is given beside the mean
LEAST_COUNT = 3  # of steps, or of tokens: an interval with fewer tells nothing

VLLM_ITERATIONS = (
    "vllm:iteration_tokens_total_count"  # of a histogram: one observation per step
)
VLLM_RUNNING = "vllm:num_requests_running"
SGLANG_PASSES = "sglang:cuda_graph_passes_total"  # forward passes, by whether in a graph
SGLANG_THROUGHPUT = "sglang:gen_throughput"  # tokens per second
SGLANG_RUNNING = "sglang:num_running_reqs"

MODE = re.compile(r',?mode="[^"]*"')  # a label

# What moves, or is above zero, where a server has something to do.
ACTIVITY = {
    ServerEngine.VLLM: ("vllm:generation_tokens_total", VLLM_ITERATIONS),
    ServerEngine.SGLANG: (
        "sglang:generation_tokens_total",
        "sglang:inter_token_latency_seconds_count",
        SGLANG_PASSES,
    ),
}
PROMPTS = {
    ServerEngine.VLLM: "vllm:prompt_tokens_total",
    ServerEngine.SGLANG: "sglang:prompt_tokens_total",
}
RUNNING = {ServerEngine.VLLM: VLLM_RUNNING, ServerEngine.SGLANG: SGLANG_RUNNING}


class Method(NamedTuple):
    """A way to work out the time of a step, ms, from readings; None where they do not tell."""

    name: str
    step_ms: Callable[[Sequence[Reading]], float | None]


def watch(client: Client, say: Callable[[str], None]) -> list[Reading]:
    """Return readings over a short time; none where the server shows no counters."""
    first = counters.read(client)
    if first is None:
        return []
    readings = [first]
    for _ in range(READINGS - 1):
        say("reading the server's counters, its profiler off")
        time.sleep(BASELINE_S / (READINGS - 1))
        reading = counters.read(client)
        if reading is not None:
            readings.append(reading)
    return readings


def unprofiled_step(
    engine: ServerEngine, before: Sequence[Reading], after: Sequence[Reading]
) -> UnprofiledStep | None:
    """Return the time of a step without the profiler, from readings about a recording.

    Of the readings before it, where they tell: a profiler that has recorded once stays in the
    server's process and slows its steps until it is restarted (H200, 2026-11-29: SGLang 8B 7.6 ms
    before and 9.2 after, vLLM 8B 8.1 and 9.1). The bounds are the shortest and the longest of the
    intervals between readings. None where the counters do not tell, as where no request was served.
    """
    return step_of(engine, before) or _named_after(step_of(engine, after))


def step_of(engine: ServerEngine, readings: Sequence[Reading]) -> UnprofiledStep | None:
    """Return the time of a step while some readings were taken, by the best method that tells.

    Where prompts came in fewer than half of the intervals between readings, it is of the longest
    run of intervals without any: a recording is as short as one, and most likely without, too.
    """
    return step_by(METHODS[engine], _mostly_without(PROMPTS[engine], readings))


def _mostly_without(counter: str, readings: Sequence[Reading]) -> Sequence[Reading]:
    """Return the longest run of readings between which a counter stood still, if mostly it did."""
    grew = [difference(*pair, counter) > 0 for pair in pairwise(readings)]
    if 2 * sum(grew) >= len(grew):
        return readings
    longest: Sequence[Reading] = ()
    begin = 0
    for end, ends_here in enumerate([*grew, True]):
        if ends_here:
            longest = max(longest, readings[begin : end + 1], key=len)
            begin = end + 1
    return longest


def step_by(
    methods: Sequence[Method], readings: Sequence[Reading]
) -> UnprofiledStep | None:
    """Return the time of a step by the first method that tells; None where none does."""
    if len(readings) < 2:
        return None
    for method in methods:
        step_ms = method.step_ms(readings)
        if step_ms is not None:
            parts = [method.step_ms(interval) for interval in pairwise(readings)]
            times = [step_ms, *_known(parts)]
            return UnprofiledStep(step_ms, min(times), max(times), method.name)
    return None


def _named_after(step: UnprofiledStep | None) -> UnprofiledStep | None:
    """Return a time that was only read when the recording had ended, with that in its method."""
    if step is None:
        return None
    method = f"{step.method}, after the recording, which may still slow it"
    return UnprofiledStep(step.step_ms, step.low_ms, step.high_ms, method)


def growth(readings: Sequence[Reading]) -> dict[str, float]:
    """Return by how much each counter grew from the first reading to the last, and the seconds."""
    if len(readings) < 2:
        return {}
    first, last = readings[0], readings[-1]
    grown = {"seconds": last.time_s - first.time_s}
    for name in last.values:
        if name.endswith(("_total", "_count", "_sum")):
            increase = difference(first, last, name)
            if increase:
                grown[name] = increase
    return grown


def was_idle(engine: ServerEngine, first: Reading, last: Reading) -> bool:
    """Return whether the counters say that no request was served between two readings."""
    running = [reading.total(RUNNING[engine]) for reading in (first, last)]
    return stood_still(engine, first, last) and not any(running)


def stood_still(engine: ServerEngine, first: Reading, last: Reading) -> bool:
    """Return whether no counter of tokens or steps moved; False where the server shows none."""
    names = [name for name in ACTIVITY[engine] if last.series(name)]
    return bool(names) and not any(difference(first, last, name) for name in names)


def steps_done(first: Reading, last: Reading) -> float | None:
    """Return how many steps vLLM made between two readings; of several engines, the fewest."""
    steps = _growth_by_engine(first, last, VLLM_ITERATIONS)
    return min(steps) if steps else None


def _by_iterations(readings: Sequence[Reading]) -> float | None:
    return _by_count(readings, VLLM_ITERATIONS, VLLM_RUNNING)


def _by_passes(readings: Sequence[Reading]) -> float | None:
    """Return the time from forward pass to forward pass; None where SGLang stood still meanwhile.

    The latency from token to token is taken where tokens leave the server, and its front end may
    lag behind (H200, 2026-11-30, 1B, 32 requests: 1.80 ms per pass, 2.51 from token to token).
    """
    passes = [_growth_by_engine(*pair, SGLANG_PASSES) for pair in pairwise(readings)]
    if not all(all(of_engines) for of_engines in passes):
        return None  # what it says of running requests may be old
    return _by_count(readings, SGLANG_PASSES, SGLANG_RUNNING)


def _by_count(readings: Sequence[Reading], counter: str, requests: str) -> float | None:
    """Return the time from step to step of an engine that had requests all the time."""
    first, last = readings[0], readings[-1]
    running = [count for reading in readings for count in reading.series(requests).values()]
    steps = _growth_by_engine(first, last, counter)
    if not steps or min(steps) < LEAST_COUNT or not all(running):
        return None
    mean_steps = sum(steps) / len(steps)
    return 1e3 * (last.time_s - first.time_s) / mean_steps


def _by_latency(histogram: str) -> Callable[[Sequence[Reading]], float | None]:
    """Return the mean of a latency from token to token: in each step a request has one token."""

    def mean(readings: Sequence[Reading]) -> float | None:
        first, last = readings[0], readings[-1]
        count = difference(first, last, f"{histogram}_count")
        seconds = difference(first, last, f"{histogram}_sum")
        if count < LEAST_COUNT or seconds <= 0:
            return None
        return 1e3 * seconds / count

    return mean


def _by_throughput(readings: Sequence[Reading]) -> float | None:
    """Return the requests that ran over the tokens per second, as SGLang last worked it out.

    None where a counter says that no token came: what it last worked out is old then.
    """
    first, last = readings[0], readings[-1]
    if stood_still(ServerEngine.SGLANG, first, last):
        return None
    throughput = last.series(SGLANG_THROUGHPUT)
    running = last.series(SGLANG_RUNNING)
    pairs = [(running.get(labels, 0.0), rate) for labels, rate in throughput.items()]
    times = [1e3 * count / rate for count, rate in pairs if count > 0 and rate > 0]
    return sum(times) / len(times) if times else None


def _growth_by_engine(first: Reading, last: Reading, name: str) -> list[float]:
    """Return by how much a counter grew in each engine, whatever the mode of what it counts."""
    before = first.series(name)
    growth_of: dict[str, float] = {}
    for labels, value in last.series(name).items():
        engine = MODE.sub("", labels)
        grown = value - before.get(labels, 0.0)
        growth_of[engine] = growth_of.get(engine, 0.0) + grown
    return list(growth_of.values())


def difference(first: Reading, last: Reading, name: str) -> float:
    """Return by how much a counter grew, over all of the server's processes."""
    return sum(_growth_by_engine(first, last, name))


def _known(times: Sequence[float | None]) -> list[float]:
    return [time_ms for time_ms in times if time_ms is not None]


def latency_method(histogram: str) -> Method:
    """Return the way by a histogram of the time from token to token."""
    return Method(f"mean of the server's {histogram}", _by_latency(histogram))


# The best first.
METHODS = {
    ServerEngine.VLLM: (
        Method("steps counted by the server's vllm:iteration_tokens_total", _by_iterations),
        latency_method("vllm:inter_token_latency_seconds"),
        latency_method("vllm:time_per_output_token_seconds"),
    ),
    ServerEngine.SGLANG: (
        Method("passes counted by the server's sglang:cuda_graph_passes_total", _by_passes),
        latency_method("sglang:inter_token_latency_seconds"),
        latency_method("sglang:time_per_output_token_seconds"),
        Method("running requests by the server's sglang:gen_throughput", _by_throughput),
    ),
}
