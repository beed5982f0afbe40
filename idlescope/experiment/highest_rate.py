"""The highest rate of requests at which a latency target is kept, of one mode of a run.

The run's requests are served again and again on a modelled GPU, with the times between their
arrivals scaled, until the rates between which the target breaks are close together. That a higher
rate never makes requests faster is taken for granted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from idlescope.analysis.latency import latencies
from idlescope.capture.step_clock import StepClock
from idlescope.engine.loop import Engine
from idlescope.engine.running_rows import Shape
from idlescope.engine.workload import Workload
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.base import DeviceChoice
from idlescope.experiment.modes import Mode
from idlescope.experiment.progress import Progress
from idlescope.experiment.target import Target

AT_ONCE = float("inf")  # times the run's own rate: all requests are there at the start
FURTHEST = 1024.0  # times the run's own rate, and its inverse: where the search ends
CLOSE = 1.02  # the rate that is kept is within 2 % of one that is not


def highest_factor(
    config: RunConfig,
    choice: DeviceChoice,
    shape: Shape,
    mode: Mode,
    target: Target,
    progress: Progress | None = None,
) -> float | None:
    """Return the highest rate that keeps a target, as a multiple of the run's own.

    None where none does, infinity where every rate does. `progress` is called as that of a run is,
    with the mode and the rate that is tried.
    """

    def kept(factor: float) -> bool:
        demand = faster(config.demand, factor)
        tried = (
            f"{mode}, all at once"
            if factor == AT_ONCE
            else f"{mode}, {factor:.3g} × the rate"
        )
        watch = None if progress is None else partial(progress, tried)
        reached_ms = p99_ms(config, choice, shape, mode, demand, target, watch)
        return reached_ms is not None and reached_ms <= target.most_ms

    return highest(kept)


def highest(kept: Callable[[float], bool]) -> float | None:
    """Return the highest factor that is kept, of those that the search goes through.

    None where none is, infinity where every one is.
    """
    if kept(AT_ONCE):
        return AT_ONCE
    low = high = 1.0
    if kept(1.0):
        while high < FURTHEST and kept(high := high * 2):
            low = high
    else:
        while not kept(low := low / 2):
            high = low
            if low <= 1 / FURTHEST:
                return None
    while high / low > CLOSE:
        middle = (low * high) ** 0.5
        if kept(middle):
            low = middle
        else:
            high = middle
    return low


def faster(demand: Workload, factor: float) -> Workload:
    """Return the same requests, arriving so many times as fast."""
    arrival_ns = np.rint(demand.arrival_ns / factor).astype(np.int64)
    return replace(demand, arrival_ns=arrival_ns)


def p99_ms(
    config: RunConfig,
    choice: DeviceChoice,
    shape: Shape,
    mode: Mode,
    demand: Workload,
    target: Target,
    watch: Callable[[Engine], None] | None = None,
) -> float | None:
    """Return the latency of the target that 99 of 100 requests have at most, ms.

    None where no request has such a latency.
    """
    device = choice.make(config)
    architecture = config.architecture
    stop_tokens = architecture.eos if config.stop_at_eos else ()
    requests = demand.requests(architecture.vocab, config.seed, stop_tokens)
    try:
        slots = device.open(shape, mode.depth)
        engine = Engine(device, slots, requests, StepClock(device.clock.now))
        device.begin()
        engine.run(watch)
    finally:
        device.close()
    columns = [
        (
            request.arrival_ns,
            request.first_token_ns,
            request.finished_ns,
            len(request.output),
        )
        for request in engine.scheduler.finished
    ]
    figures = latencies(*np.array(columns, np.int64).T)[target.key]
    return None if figures is None else figures["p99"]
