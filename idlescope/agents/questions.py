"""What an agent may ask: the arguments of each tool, with what they mean."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

TracePath = Annotated[
    str,
    Meta(
        description="Path of a trace: torch.profiler JSON, an Nsight Systems export, a recording, "
        "a folder of `idlescope run` (with mode), or a folder of traces, one per rank.",
        min_length=1,
        max_length=4096,
    ),
]
WindowText = Annotated[
    str,
    Meta(
        description="first-last, range:NAME, steps:A-B or time:A-B (time:200ms-350ms).",
        max_length=300,
    ),
]
ModeName = Annotated[
    str | None, Meta(description="Of a folder of `idlescope run`: sync or async.")
]
StepMs = Annotated[
    float | None,
    Meta(
        description="How long a step takes without the profiler, in ms, where it is known."
    ),
]
DeviceIndex = Annotated[
    int | None, Meta(description="Only this device of the trace; all unless given.")
]
LimitText = Annotated[str, Meta(max_length=20)] | None
Paths = Annotated[list[TracePath], Meta(min_length=1, max_length=16)]


class TraceQuestion(Struct, forbid_unknown_fields=True, kw_only=True):
    """What every question about one trace says."""

    trace: TracePath
    window: WindowText = "first-last"
    mode: ModeName = None
    step_ms: StepMs = None


class AnalyzeQuestion(TraceQuestion):
    """How idle each device is, and why."""

    device: DeviceIndex = None


class GapsQuestion(TraceQuestion):
    """Which gaps are the longest, and what the host did in them."""

    device: DeviceIndex = None
    cause: Annotated[
        str | None,
        Meta(description="Only gaps that are mostly host, launch, queued or unattributed."),
    ] = None
    most: Annotated[int, Meta(ge=1, le=30, description="How many gaps at most.")] = 10


class StepsQuestion(TraceQuestion):
    """What the steps take, and which are the worst."""

    device: DeviceIndex = None
    order: Annotated[
        str,
        Meta(description="idle (the most idle first), length (the longest first) or time."),
    ] = "idle"
    most: Annotated[int, Meta(ge=1, le=50, description="How many steps at most.")] = 10


class PredictQuestion(TraceQuestion):
    """What asynchronous batching, or another change, would give."""

    depth: Annotated[
        int, Meta(description="Steps in flight: 1 synchronous, 2 asynchronous.")
    ] = 2
    host: Annotated[float, Meta(description="Factor of the host's work.")] = 1.0
    device_time: Annotated[
        float, Meta(description="Factor of the device's compute time.")
    ] = 1.0
    graphs: Annotated[bool, Meta(description="One CUDA graph per step.")] = False
    pinned: Annotated[bool, Meta(description="Copies of unpinned memory cost nothing.")] = (
        False
    )
    without: Annotated[
        str | None,
        Meta(description="A phase, span or range of the host that costs nothing."),
    ] = None


class CompareQuestion(Struct, forbid_unknown_fields=True, kw_only=True):
    """What changed from one recording to another; several of one side tell noise better."""

    base: Paths
    other: Paths
    per: Annotated[str | None, Meta(description="step, token or window.")] = None
    window: WindowText = "first-last"
    mode: ModeName = None


class CheckQuestion(TraceQuestion):
    """Whether a trace keeps to limits, of which one at least is given, such as max_idle "5%"."""

    max_idle: LimitText = None
    max_idle_ms_per_step: LimitText = None
    max_exposed_communication: LimitText = None
    max_waiting: LimitText = None
    min_coverage: LimitText = None
    max_regression: LimitText = None
    against: Annotated[list[TracePath], Meta(max_length=16)] = []


class ExplainQuestion(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a word of a result means."""

    word: Annotated[
        str,
        Meta(
            description="A verdict, a cause, a label of what the host did, or a term.",
            min_length=1,
            max_length=300,
        ),
    ]
