"""One line of a history: what was measured at one commit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

import msgspec

from idlescope import __version__
from idlescope.analysis.comparison.checks import subject_of
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.steps.load import mean_requests
from idlescope.analysis.verdict.findings import CANNOT_TELL

SCHEMA = 1


class Point(msgspec.Struct, frozen=True):
    """The figures of one device at one commit; times in ms per step, null where none is known."""

    told: bool  # whether a verdict can be given: what is not told is in no trend
    verdict: str
    window_ms: float
    steps: int
    idle_pct: float
    idle_ms_per_step: float | None
    step_ms: float | None
    host_ms_per_step: float | None
    device_ms_per_step: float | None
    requests_per_step: float | None = None  # lines of before 2026-12 do not say it


class Line(msgspec.Struct, frozen=True):
    """What was measured at one commit, by what was looked at."""

    schema: int
    commit: str
    time: str  # UTC, ISO 8601
    idlescope: str  # its version
    points: dict[str, Point]


def line_of(
    commit: str, analyses: Mapping[str, Analysis], now: datetime | None = None
) -> Line:
    """Return the line of some recordings of one commit; keys are what their subjects begin with."""
    moment = now or datetime.now(timezone.utc)
    points = {
        subject_of(result, prefix): _point(result)
        for prefix, analysis in analyses.items()
        for result in analysis.results
    }
    return Line(SCHEMA, commit, moment.isoformat(timespec="seconds"), __version__, points)


def _point(result: DeviceResult) -> Point:
    part = result.judged_part
    steps = len(part.steps)

    def per_step(ns: int) -> float | None:
        return round(ns / steps / 1e6, 6) if steps else None

    host_ms = None
    if steps:
        host_ms = round(float(part.usual_steps.host.mean()) / 1e6, 6)
    busy_and_idle = int(part.steps.device.sum() + part.steps.idle.sum())
    idle_ns = result.idle_per_step_ns
    return Point(
        told=result.verdict.kind != CANNOT_TELL,
        verdict=str(result.verdict.kind),
        window_ms=round(result.occupancy.window_ns / 1e6, 6),
        steps=steps,
        idle_pct=round(result.idle_pct, 4),
        idle_ms_per_step=None if idle_ns is None else round(idle_ns / 1e6, 6),
        step_ms=per_step(busy_and_idle - int(part.apart_of(part.steps).sum())),
        host_ms_per_step=host_ms,
        device_ms_per_step=per_step(int(part.steps.device.sum())),
        requests_per_step=mean_requests(part),
    )
