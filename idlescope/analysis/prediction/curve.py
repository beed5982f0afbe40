"""What host work costs: idle over host work per step, at this model, batch and device.

A curve is a replay of recorded steps with the host's work scaled, so that prompts, launches, copies
and the variation from step to step stay those of the recording. Idle is compute idle, as in
predictions: the share of the time in which no kernel runs, filling and draining the pipeline left
out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction import published
from idlescope.analysis.prediction.published import Point
from idlescope.analysis.prediction.replays import Replays
from idlescope.analysis.prediction.what_if import MAX_FACTOR, WhatIf
from idlescope.errors import TraceError
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Trace
from idlescope.trace.table import Float64

MOST_PLACES, FEWEST_PLACES = 24, 8  # of a curve, evenly spaced
STEPS_REPLAYED = 200_000  # in all places of a curve, about: a long run gets fewer places
FURTHEST = 2.0  # times the device's time per step: how far a curve goes at least
MARGIN = 1.1  # beyond the point furthest out


@dataclass(frozen=True)
class Curve:
    """Compute idle of a pipeline of some depth."""

    depth: int  # steps in flight
    host_ms: Float64  # host work per step, ascending
    idle_pct: Float64


@dataclass(frozen=True)
class HostCost:
    """Curves from the steps of one recording, and points."""

    replayed: str  # name of the recording whose steps they are
    device_ms: float  # compute per step
    curves: tuple[Curve, ...]  # synchronous, asynchronous
    measured: tuple[Point, ...]  # this recording, and those of other modes
    published: tuple[Point, ...]  # of the same model, batch and GPU


def host_cost(recordings: Mapping[str, tuple[Trace, MeasuredDevice]]) -> HostCost | None:
    """Return what host work costs, of recordings by name.

    The steps are those of a synchronous recording where there is one, else of the one that is idle
    most. Of several devices in one trace there is one point. Returns None where no steps can be
    replayed, or where the host costs nothing.
    """
    replays = {}
    for name, (trace, result) in recordings.items():
        of_recording = replayable(trace, result)
        if of_recording is not None:
            replays[name] = of_recording
    if not replays:
        return None

    def preference(name: str) -> tuple[bool, float]:
        return replays[name].depth == 1, replays[name].recorded.compute_idle_pct

    chosen_name = max(replays, key=preference)
    chosen = replays[chosen_name]
    measured = tuple(
        point(name, each)
        for name, each in replays.items()
        if each is chosen or each.trace is not chosen.trace
    )
    others = published.beside(chosen.trace)
    compute_ms = device_ms(chosen)
    furthest_point_ms = max(each.host_ms for each in (*measured, *others))
    furthest_ms = max(FURTHEST * compute_ms, MARGIN * furthest_point_ms)
    curves = tuple(curve(chosen, depth, furthest_ms) for depth in (1, 2))
    return HostCost(chosen_name, compute_ms, curves, measured, others)


def host_ms(replays: Replays) -> float:
    """Return the host work per step as recorded, beside no pause, on average, in ms."""
    return float(np.mean(replays.result.usual_steps.host)) / 1e6


def device_ms(replays: Replays) -> float:
    """Return the compute per step that a replay starts from, on average, in ms."""
    return float(np.mean(replays.costs.compute)) / 1e6


def point(name: str, replays: Replays) -> Point:
    """Return where a recording lies."""
    return Point(
        name=name,
        mode=replays.trace.meta.mode,
        host_ms=host_ms(replays),
        device_ms=float(np.mean(replays.result.steps.device)) / 1e6,
        idle_pct=replays.recorded.compute_idle_pct,
        source="this recording",
    )


def curve(replays: Replays, depth: int, furthest_ms: float) -> Curve:
    """Return the idle that steps would have at host work from none to `furthest_ms` per step."""
    recorded_ms = host_ms(replays)
    # About here the host becomes slower than the device, and an asynchronous curve bends.
    bend_ms = device_ms(replays)
    affordable = STEPS_REPLAYED // len(replays.costs)
    places = int(np.clip(affordable, FEWEST_PLACES, MOST_PLACES))
    evenly_spaced = np.linspace(0.0, furthest_ms, places)
    with_known = np.append(evenly_spaced, [recorded_ms, bend_ms])
    host_work_ms = distinct(with_known)
    host_work_ms = host_work_ms[host_work_ms <= recorded_ms * MAX_FACTOR]
    idle_pct = []
    for place_ms in host_work_ms.tolist():
        factor = place_ms / recorded_ms
        outcome = replays.predict(WhatIf(depth, host=factor))
        idle_pct.append(outcome.compute_idle_pct)
    return Curve(depth, host_work_ms, np.array(idle_pct))


def replayable(trace: Trace, result: MeasuredDevice) -> Replays | None:
    """Return the steps of a recording, to be replayed with more and less host work.

    None where they cannot be replayed, or where the host costs nothing.
    """
    try:
        replays = Replays(trace, result)
    except TraceError:
        return None
    return replays if host_ms(replays) else None
