"""What a run's own steps would idle with the host of an engine that others measured.

Our own engine is quick: how idle it is says little of an engine whose host works longer. The steps
are replayed as the curve of host cost replays them (curve.py), with the host work scaled to the
published figure; then with the device's time scaled, too, which is to be held against what was
measured there.
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


@dataclass(frozen=True)
class IdleByMode:
    """Compute idle of the same steps in both pipelines, per cent."""

    sync: float
    asynchronous: float


@dataclass(frozen=True)
class WithPublishedHost:
    """The steps of a recording, replayed with the host of a published engine."""

    engine: Point  # its synchronous loop, as it was measured
    same_steps: IdleByMode  # the recording's steps, with its host work
    its_steps: IdleByMode | None  # with its device time, too; None: other model or GPU
    measured: IdleByMode  # of that engine itself


def with_published_host(trace: Trace, result: MeasuredDevice) -> WithPublishedHost | None:
    """Return what the steps of a recording would idle with the host of the published engine.

    Returns None where its batch is another one, on which the host's work depends, or where the
    steps cannot be replayed.
    """
    if trace.meta.rows != published.ROWS:
        return None
    replays = replayable(trace, result)
    if replays is None:
        return None
    engine, its_async = published.HEADLINE
    host_factor = engine.host_ms / host_ms(replays)
    if host_factor > MAX_FACTOR:
        return None
    its_steps = None
    # The usual step, as published: prompts make the mean of a short run longer.
    usual_ms = float(np.median(replays.costs.compute)) / 1e6
    device_factor = engine.device_ms / usual_ms
    if published.beside(trace) and device_factor <= MAX_FACTOR:
        its_steps = _idle(replays, host_factor, device_factor)
    return WithPublishedHost(
        engine=engine,
        same_steps=_idle(replays, host_factor),
        its_steps=its_steps,
        measured=IdleByMode(engine.idle_pct, its_async.idle_pct),
    )


def _idle(replays: Replays, host: float, device: float = 1.0) -> IdleByMode:
    """Return the idle of both pipelines with host and device scaled by so much."""
    sync, asynchronous = (
        replays.predict(WhatIf(depth, host=host, device=device)).compute_idle_pct
        for depth in (1, 2)
    )
    return IdleByMode(sync, asynchronous)
