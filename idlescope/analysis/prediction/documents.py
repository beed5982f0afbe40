"""The JSON that predictions are written as: `predict --json`, `predicted` in other documents."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

SCHEMA = 1


class OutcomeDocument(Struct):
    """What steps take; the interval is null where the steps are too few to tell."""

    total_s: float
    low_s: float | None
    high_s: float | None
    steps: int
    step_ms: float
    compute_idle_pct: float
    tokens_per_s: float | None


class LeverDocument(Struct):
    """What one further change makes of it: a name, then the fields of OutcomeDocument."""

    name: str
    total_s: float
    low_s: float | None
    high_s: float | None
    steps: int
    step_ms: float
    compute_idle_pct: float
    tokens_per_s: float | None


class ShortPredictionDocument(Struct):
    """The `predicted` of a device in `analyze --json`: OutcomeDocument's fields amid its own."""

    recorded_depth: int | None
    depth: int
    total_s: float
    low_s: float | None
    high_s: float | None
    steps: int
    step_ms: float
    compute_idle_pct: float
    tokens_per_s: float | None
    exposed_ms_per_step: float
    host_bound_steps: int
    text: str


class PredictionDocument(Struct):
    """One device of `predict --json`."""

    process: str
    device: int
    name: str
    steps_found_by: str
    recorded_depth: int | None
    what: str
    recorded: OutcomeDocument
    predicted: OutcomeDocument
    host_free: OutcomeDocument
    levers: list[LeverDocument]
    exposed_ms_per_step: float
    host_bound_steps: list[int]
    text: str


class PredictionsDocument(Struct):
    """The whole of `predict --json`."""

    schema: int
    source: dict[str, Any]
    devices: list[PredictionDocument]
    cannot_tell: list[str]
