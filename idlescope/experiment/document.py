"""The JSON documents of runs and sweeps, as types: what is written, and what may be read of it.

Fields stand in the order of the JSON. Times are in the unit that a name ends in.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from idlescope.analysis.prediction.documents import OutcomeDocument

SCHEMA = 1  # of both documents
Scalar = bool | int | float | str | None


class Percentiles(Struct, forbid_unknown_fields=True):
    """How a latency is spread over the requests, milliseconds."""

    mean: float
    p50: float
    p90: float
    p99: float


class StepTimes(Struct, forbid_unknown_fields=True):
    """The median time from step to step around a profiled window, milliseconds.

    Null of too few steps.
    """

    before: float | None
    inside: float | None
    after: float | None


class ProfiledWindow(Struct, forbid_unknown_fields=True):
    """What a profiler recorded of some steps, beside the step clock's record of the same."""

    steps: tuple[int, int]  # the first, and the first that is not in it any more
    trace: str  # its file, in the run's folder
    steps_found: int | None  # in the profiler's trace; null where that cannot be read
    step_ms: StepTimes
    observer_pct: float | None  # how much longer a step takes under the profiler
    idle_pct: dict[str, float | None]  # of the window, by "step clock" and by "profiler"
    phase_ms_per_step: dict[str, dict[str, float]]  # the same, by phase of the host
    problem: str | None  # why the trace cannot be read


class ModeSummary(Struct, forbid_unknown_fields=True):
    """The figures of one mode of a run (DEFINITIONS.md)."""

    steps: int
    requests: int  # that ended
    tokens: int
    total_s: float  # from the first scheduling to the last update
    tokens_per_s: float
    active_pct: float  # of the window
    compute_pct: float
    idle_ms_per_step: float  # without pauses, and without that for want of requests
    host_ms_per_step: float
    device_ms_per_step: float
    roofline_pct: float | None  # null where the device's peaks are not known
    window_s: float
    idle_ns: int
    cause_ns: dict[str, int]  # adds up to idle_ns
    host_ns: dict[str, int]  # adds up to the cause "host"
    preemptions: int
    interrupted: bool
    ttft_ms: Percentiles | None  # null where no request has one
    time_per_output_token_ms: Percentiles | None
    latency_ms: Percentiles | None
    profiled: ProfiledWindow | UnsetType = UNSET


class RunDevice(Struct, frozen=True, forbid_unknown_fields=True):
    """What a run was on."""

    kind: str
    name: str
    measured: bool  # false where its times come from a model


class Load(Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that arrived during a run, and what is idle for want of them; by mode, per cent."""

    arrival: str  # as `--arrival` has it, or the workload file
    requests_per_s: float  # from the first arrival to the last, on average
    no_demand_pct: dict[str, float]  # of the window: no request was there
    idle_with_work_pct: dict[str, float]  # of the rest of the window
    target: str | None  # `--target`
    # the highest rate that keeps it, by mode: 0 where none does, null where every one does
    highest_requests_per_s: dict[str, float | None] | None


class PublishedHost(Struct, forbid_unknown_fields=True):
    """What a run's steps would idle with the host of a published engine: they are replayed so.

    Idle is compute idle, per cent, by mode: of the synchronous pipeline, and of the asynchronous.
    """

    engine: str
    source: str
    gap_ms: float  # per step, as published: how long its device waits for its host
    gap_ms_here: (
        float  # the same for as many tokens in the KV cache as the run has in a step
    )
    host_work_ms: (
        float  # per step, hidden work too: with so much the run's device waits as long
    )
    device_ms: float  # per step, of its synchronous loop
    idle_pct: dict[str, float]  # of the run's steps with that host
    # with its device time, too; null of another model or GPU, or of other sizes of the KV cache
    with_its_device_idle_pct: dict[str, float] | None
    measured_idle_pct: dict[str, float]  # of that engine itself


class Statements(Struct, frozen=True, forbid_unknown_fields=True):
    """What a run shows, a sentence for each question; `verdict` of summary.json is all of them."""

    this_engine: str
    published_host: str | None  # null where that cannot be said
    your_engine: str | None  # null of a run that was stopped

    def said(self) -> list[str]:
        """Return the sentences that there are, in their order."""
        sentences = (self.this_engine, self.published_host, self.your_engine)
        return [sentence for sentence in sentences if sentence is not None]


class Summary(Struct, forbid_unknown_fields=True):
    """`summary.json`, and `idlescope run --json`."""

    schema: int
    config: dict[str, Scalar]  # the options of `idlescope run`
    device: RunDevice
    environment: dict[str, str]
    modes: dict[str, ModeSummary]
    speedup: (
        float | None
    )  # synchronous over asynchronous time; null unless both modes ended
    # the asynchronous run as the synchronous one predicts it; null where requests arrive later
    predicted: OutcomeDocument | None
    load: Load | None  # null where all requests were there at the start
    published_host: PublishedHost | None  # null where it cannot be told
    verdict: str  # all statements, one after the other
    statements: Statements
    warnings: list[str]


class Grid(Struct, forbid_unknown_fields=True):
    """The values that a sweep combines."""

    device: list[str]
    model: list[str]
    host_ms: list[float | None]  # null: measured
    batch_size: list[int]


class CellCounts(Struct, forbid_unknown_fields=True):
    """How many cells a sweep has, and how many of them ended how."""

    all: int
    done: int
    refused: int
    failed: int


class SweepRow(Struct, forbid_unknown_fields=True):
    """One cell in one mode: a row of table.csv. Figures are null where the cell was not run."""

    model: str
    device: str
    host_ms: float | None  # null where it was measured
    batch_size: int
    mode: str
    state: str  # done, refused or failed
    reason: str | None = None  # of what is not done
    device_name: str | None = None
    measured: bool | None = None
    idle_pct: float | None = None
    idle_ms_per_step: float | None = None
    host_ms_per_step: float | None = None
    device_ms_per_step: float | None = None
    total_s: float | None = None
    tokens_per_s: float | None = None
    roofline_pct: float | None = None
    steps: int | None = None
    tokens: int | None = None
    tokens_per_step: float | None = (
        None  # below the batch size where not all requests have room
    )
    preemptions: int | None = None
    speedup: float | None = None  # of the cell: synchronous over asynchronous time
    predicted_s: float | None = None  # of the cell: the asynchronous time
    predicted_error_pct: float | None = None  # how far off that was


class SweepDocument(Struct, forbid_unknown_fields=True):
    """`sweep.json`, and `idlescope sweep --json`."""

    schema: int
    grid: Grid
    options: dict[str, Scalar]  # that all cells share
    environment: dict[str, str]
    cells: CellCounts
    answers: list[str]
    rows: list[SweepRow]
