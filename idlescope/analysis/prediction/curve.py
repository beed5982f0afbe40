"""What host work costs: idle time over host work a step, at this model, batch and device; curves and measured points.

A curve is a replay of recorded steps (`predict.py`) with the host's work scaled, so that prompts, launches, copies and
the variation from step to step stay those of the recording. Idle is compute idle as in predictions, curves and points
alike: the share of the time in which no kernel runs, filling and draining the pipeline left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction import published
from idlescope.analysis.prediction.published import Point
from idlescope.analysis.prediction.what_if import MAX_FACTOR, Replays, WhatIf
from idlescope.errors import TraceError
from idlescope.trace.model import Trace
from idlescope.trace.table import Float64

MOST, FEWEST = 24, 8  # places of a curve, evenly spaced
REPLAYED = 200_000  # steps of all places of a curve, about: of a long run there are fewer places
FURTHEST = 2.0  # times the device's time a step: how far a curve goes at least
MARGIN = 1.1  # beyond the point furthest out


@dataclass(frozen=True)
class Curve:
    """Idle time of a pipeline of some depth."""

    depth: int  # steps in flight
    host_ms: Float64  # work a step, ascending
    idle_pct: Float64


@dataclass(frozen=True)
class HostCost:
    """Curves from one recording's steps, and points."""

    replayed: str  # name of the work whose steps they are
    device_ms: float  # compute a step
    curves: tuple[Curve, ...]  # synchronous, asynchronous
    measured: tuple[Point, ...]  # this work, and other modes of it
    published: tuple[Point, ...]  # of the same model, batch and GPU


def host_cost(works: Mapping[str, tuple[Trace, MeasuredDevice]]) -> HostCost | None:
    """Return what host work costs, of works by name; None where no steps can be replayed, or the host costs nothing.

    The steps are those of a synchronous work where there is one, else of the one that is idle most; of several devices
    in one trace there is one point.
    """
    replays = {
        name: found for name, work in works.items() if (found := _replays(*work)) is not None
    }
    if not replays:
        return None
    base = max(
        replays,
        key=lambda name: (replays[name].depth == 1, replays[name].recorded.compute_idle_pct),
    )
    chosen = replays[base]
    trace = chosen.measured.trace
    measured = tuple(
        point(name, each)
        for name, each in replays.items()
        if each is chosen or each.measured.trace is not trace
    )
    others, device_ms = published.beside(trace), float(np.mean(chosen.costs.compute)) / 1e6
    furthest = max(FURTHEST * device_ms, *(MARGIN * p.host_ms for p in (*measured, *others)))
    curves = tuple(curve(chosen, depth, furthest) for depth in (1, 2))
    return HostCost(base, device_ms, curves, measured, others)


def _replays(trace: Trace, result: MeasuredDevice) -> Replays | None:
    try:
        replays = Replays(trace, result)
    except TraceError:
        return None
    return replays if host_ms(replays) else None


def host_ms(replays: Replays) -> float:
    """Return the host's work a step as recorded, on average."""
    return float(np.mean(replays.measured.result.steps.host)) / 1e6


def point(name: str, replays: Replays) -> Point:
    """Return where a recording lies."""
    result = replays.measured.result
    return Point(
        name, replays.measured.trace.meta.get("mode", ""), host_ms(replays), float(np.mean(result.steps.device)) / 1e6,
        replays.recorded.compute_idle_pct, "this recording",
    )  # fmt: skip


def curve(replays: Replays, depth: int, furthest_ms: float) -> Curve:
    """Return the idle time that steps would have at host work from none to `furthest_ms` a step."""
    own = host_ms(replays)
    bend = (
        float(np.mean(replays.costs.compute)) / 1e6
    )  # about here the host gets slower than the device
    places = int(np.clip(REPLAYED // len(replays.costs), FEWEST, MOST))
    x = np.unique(np.append(np.linspace(0.0, furthest_ms, places), [own, bend]))
    x = x[x <= own * MAX_FACTOR]
    idle = [replays.predict(WhatIf(depth, host=ms / own)).compute_idle_pct for ms in x.tolist()]
    return Curve(depth, x, np.array(idle))
