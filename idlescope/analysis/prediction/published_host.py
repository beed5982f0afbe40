"""What a run's own steps would idle with the host of an engine that others measured.

Our own engine is quick: how idle it is says little of an engine whose host works longer. What was
published of that engine is not how long its host works but how long the GPU waits for it: 24.0 % of
300.6 s in 8,192 steps, 8.81 ms per step. So the steps are replayed as the curve of host cost
replays them (curve.py), with the host work scaled until their device waits as long; then with their
own device time, too. What the host does while the device computes is scaled with the rest, as no
one published it: with 8.81 ms of waiting a host of ours works 10.1 ms per step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction import published
from idlescope.analysis.prediction.curve import host_ms, replayable
from idlescope.analysis.prediction.published import Point
from idlescope.analysis.prediction.replays import Replays
from idlescope.analysis.prediction.what_if import MAX_FACTOR, WhatIf
from idlescope.trace.model import Trace

CLOSE_ENOUGH = 1e-4  # of the gap that is looked for
MAX_TRIES = 12  # the gap grows nearly as a line does: three or four are needed


@dataclass(frozen=True)
class IdleByMode:
    """Compute idle of the same steps in both pipelines, per cent."""

    sync: float
    asynchronous: float


@dataclass(frozen=True)
class WithPublishedHost:
    """The steps of a recording, replayed with the host of a published engine."""

    engine: Point  # its synchronous loop, as it was measured
    gap_ms: (
        float  # how long its device waits per step, scaled to the recording's cached tokens
    )
    host_work_ms: float  # per step: with so much the recording's device waits as long
    same_steps: IdleByMode  # the recording's steps, with its host work
    its_steps: (
        IdleByMode | None
    )  # with its device time, too; None: other model, GPU or size
    measured: IdleByMode  # of that engine itself


def with_published_host(
    trace: Trace, result: MeasuredDevice, cached_tokens: float
) -> WithPublishedHost | None:
    """Return what the steps of a recording would idle with the host of the published engine.

    `cached_tokens` are those in the KV cache in a step, on average, of all rows: that host's work
    grows with them. Returns None of numbers for which it was not measured, where the steps cannot
    be replayed, and where they let the device wait longer even with no host work at all.
    """
    if not published.tells_of(cached_tokens):
        return None
    replays = replayable(trace, result)
    if replays is None:
        return None
    engine, its_async = published.HEADLINE
    gap_ms = published.gap_ms(cached_tokens)
    # Idle is counted from the end of the first step on, so is the device's time.
    device_factor = engine.device_ms * 1e6 / float(np.mean(replays.costs.kernels[1:]))
    host_factor = _host_factor(replays, gap_ms, device_factor)
    if host_factor is None:
        return None
    its_steps = None
    if published.beside(trace) and gap_ms == engine.host_ms:
        its_steps = _idle(replays, host_factor, device_factor)
    return WithPublishedHost(
        engine=engine,
        gap_ms=gap_ms,
        host_work_ms=host_factor * host_ms(replays),
        same_steps=_idle(replays, host_factor),
        its_steps=its_steps,
        measured=IdleByMode(engine.idle_pct, its_async.idle_pct),
    )


def _host_factor(replays: Replays, gap_ms: float, device_factor: float) -> float | None:
    """Return how many times the host work lets a synchronous loop's device wait for `gap_ms`.

    None where no factor does. The device takes as long as the published one: what the host does
    beside it is hidden there.
    """
    if device_factor > MAX_FACTOR:
        return None
    # What all of the host's work in the gap would be; each try mends what the last one lacked.
    factor = gap_ms / host_ms(replays)
    for _ in range(MAX_TRIES):
        if not 0.0 <= factor <= MAX_FACTOR:
            return None
        outcome = replays.predict(WhatIf(depth=1, host=factor, device=device_factor))
        waits_ms = outcome.step_ns / 1e6 * outcome.compute_idle_pct / 100.0
        lacking_ms = gap_ms - waits_ms
        if abs(lacking_ms) <= CLOSE_ENOUGH * gap_ms:
            return factor
        factor += lacking_ms / host_ms(replays)
    return None


def _idle(replays: Replays, host: float, device: float = 1.0) -> IdleByMode:
    """Return the idle of both pipelines with host and device scaled by so much."""
    sync, asynchronous = (
        replays.predict(WhatIf(depth, host=host, device=device)).compute_idle_pct
        for depth in (1, 2)
    )
    return IdleByMode(sync, asynchronous)
