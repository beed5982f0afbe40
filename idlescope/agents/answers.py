"""What an agent is told: the typed answer of each tool. Times are in ms unless named otherwise."""

from __future__ import annotations

from msgspec import Struct

from idlescope.analysis.comparison.documents import CheckDocument
from idlescope.analysis.explain.entry import Entry


class CannotTell(Struct):
    """A refusal: the trace does not tell, and what would."""

    why: str
    record: str  # what to record, or to give, instead


class DeviceAnswer(Struct):
    """How idle one device is, and why."""

    process: str
    device: int
    name: str
    verdict: str  # its kind: `explain` says what it means
    says: str  # two sentences
    window_ms: float
    idle_pct: float
    idle_low_pct: float  # bounds, where records are missing; else as idle_pct
    idle_high_pct: float
    compute_idle_pct: float
    exposed_communication_pct: float
    steps: int
    idle_ms_per_step: float | None
    batching: str
    cause_ms: dict[str, float]  # adds up to idle
    host_ms: dict[str, float]  # `host` idle by what the host did: the largest parts
    host_ms_left_out: float  # of the smaller parts
    predicted: str | None  # what asynchronous batching would give
    cannot_tell: CannotTell | None


class AnalyzeAnswer(Struct):
    """How idle each device of a trace is, and why."""

    trace: str
    format: str
    events: int
    engine: str | None
    devices: list[DeviceAnswer]
    devices_left_out: int
    ranks: str | None  # what is said of several ranks together
    warnings: list[str]
    cannot_tell: CannotTell | None


class GapAnswer(Struct):
    """One gap."""

    start_ms: float  # from the start of the window
    length_ms: float
    step: int | None
    cause: str
    cause_ms: dict[str, float]
    no_demand_ms: float  # of host: there was no request
    thread: str
    stack: list[
        str
    ]  # of the launching thread, the outermost first, shortened in the middle
    ended_by: str


class GapsAnswer(Struct):
    """The longest gaps of one device."""

    process: str
    device: int
    gaps: int
    idle_ms: float
    spread: str  # per step, pauses or no demand
    longest: list[GapAnswer]
    cannot_tell: CannotTell | None


class StepKindAnswer(Struct):
    """Means of the steps of one kind."""

    kind: str
    steps: int
    step_ms: float
    host_ms: float
    device_ms: float
    idle_ms: float


class StepAnswer(Struct):
    """One step."""

    step: int
    kind: str
    start_ms: float  # from the start of the window
    step_ms: float
    host_ms: float
    device_ms: float
    idle_ms: float
    launched_early: bool


class StepsAnswer(Struct):
    """The steps of one device."""

    process: str
    device: int
    steps: int
    found_by: str
    kinds: list[StepKindAnswer]
    listed: list[StepAnswer]
    cannot_tell: CannotTell | None


class OutcomeAnswer(Struct):
    """What the steps take, or would."""

    step_ms: float
    saves_pct: float  # of what was recorded
    compute_idle_pct: float
    tokens_per_s: float | None


class PredictedDevice(Struct):
    """What one device would do."""

    process: str
    device: int
    says: str
    change: str
    recorded: OutcomeAnswer
    predicted: OutcomeAnswer
    host_free: OutcomeAnswer  # the bound: a host that costs nothing
    further: dict[str, OutcomeAnswer]  # each change on top of what was asked for


class PredictAnswer(Struct):
    """What would be otherwise."""

    devices: list[PredictedDevice]
    devices_left_out: int
    cannot_tell: CannotTell | None


class ChangeAnswer(Struct):
    """One figure of a comparison, in ns per step or token, or in % of the window."""

    name: str
    base: float
    other: float
    change: float
    more_than_noise: bool


class CompareAnswer(Struct):
    """What changed."""

    verdict: str
    says: str
    per: str
    headline: ChangeAnswer | None
    parts: list[
        ChangeAnswer
    ]  # the largest, which add up to the headline with what is left out
    parts_left_out: float
    warnings: list[str]
    cannot_tell: CannotTell | None


class CheckAnswer(Struct):
    """Whether limits hold."""

    holds: bool
    checks: list[CheckDocument]
    checks_left_out: int
    cannot_tell: CannotTell | None


class ExplainAnswer(Struct):
    """What a word means."""

    entry: Entry
