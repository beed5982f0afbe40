"""The document of `idlescope analyze --json`: its schema as types, and what fills it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from idlescope.analysis.idle.concentration import Concentration, gap_lengths
from idlescope.analysis.idle.shared_gpu import SharedGpu
from idlescope.analysis.idle.stacks import LongGap
from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.observer import Observer
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.ranks.documents import GroupEntry
from idlescope.analysis.roofline import Roofline
from idlescope.analysis.steps.by_kind import by_kind
from idlescope.analysis.steps.host_phases import HostPhases
from idlescope.analysis.steps.load import mean_requests
from idlescope.analysis.steps.step_kind import STEP_KINDS
from idlescope.analysis.steps.window import Window
from idlescope.trace.unseen import encodable

SCHEMA = 1
STEPS_IN_PART = 4096  # of the document's text, made at once


class WindowEntry(msgspec.Struct):
    """The stretch of time that a device's figures are of."""

    kind: str  # as it was asked for
    start_ns: int
    end_ns: int
    note: str | UnsetType = UNSET


class ShortGapsEntry(msgspec.Struct):
    """The gaps that are counted but not listed."""

    below_ns: int
    gaps: int
    idle_ns: int


class LongGapEntry(msgspec.Struct):
    """One of a device's longest gaps."""

    start_ns: int
    length_ns: int
    step: int | None
    cause: str
    cause_ns: dict[str, int]
    no_demand_ns: int  # of host: there was no request
    thread: str
    stack: list[str]
    ended_by: str


class SpreadEntry(msgspec.Struct):
    """Whether idle time is a cost of each step, a few pauses, or a lack of requests."""

    kind: str
    longest_1pct_of_gaps_pct: float  # share of idle
    half_in_steps: int
    pauses: int
    pauses_ns: int
    longest_pause_ns: int
    pauses_cause_ns: dict[str, int]  # their time by cause
    pauses_host_ns: dict[str, int]  # of the cause `host`, by what the host did
    doing: str
    no_demand_gaps: int
    no_demand_ns: int


class GapLengthsEntry(msgspec.Struct):
    """The gaps of some lengths, from `from_ns` to below `to_ns` (none: no limit)."""

    from_ns: int
    to_ns: int | None
    gaps: int
    cause_ns: dict[str, int]


class StepKindEntry(msgspec.Struct):
    """The figures of the steps of one kind: prefill, decode, mixed or empty. Means per step."""

    kind: str
    steps: int
    step_ns: int
    host_ns: int
    device_ns: int
    idle_ns: int
    idle_pct: float


class SharedEntry(msgspec.Struct):
    """A GPU that several processes use: what they have it do together."""

    identity: str  # UUID or PCI id; empty where neither is known and sharing is only likely
    processes: list[str]
    window_ns: int
    active_ns: int
    idle_ns: int
    idle_pct: float


class BatchingEntry(msgspec.Struct):
    """How steps follow one another."""

    kind: str
    early: int
    followers: int
    steps_found_by: str


class ObserverEntry(msgspec.Struct):
    """Idle time without the profiler."""

    known: bool  # whether the step time without it is known, or estimated
    method: str
    recorded_step_ms: float
    step_ms: float
    idle_low_pct: float
    idle_high_pct: float
    idle_ms_per_step: float
    options: list[str]  # of the profiler, that made it dear
    text: str


class VerdictEntry(msgspec.Struct):
    """What the figures mean."""

    kind: str
    text: str


class RooflineEntry(msgspec.Struct):
    """What a device achieved of its peaks."""

    gpu: str
    basis: str
    steps: int
    bytes_per_step: float
    flops_per_step: float
    bandwidth_pct: float
    compute_pct: float
    roofline_pct: float
    active_roofline_pct: float
    text: str


class DeviceEntry(msgspec.Struct):
    """The figures of one device."""

    process: str
    device: int
    name: str
    identity: str
    operations: int
    window: WindowEntry
    window_ns: int
    active_ns: int
    compute_ns: int
    copy_only_ns: int
    communication_ns: int
    exposed_communication_ns: int
    useful_compute_ns: int
    idle_ns: int
    idle_pct: float
    compute_idle_pct: float
    gaps: int
    short_gaps: ShortGapsEntry
    cause_ns: dict[str, int]
    host_ns: dict[str, int]
    longest_gaps: list[LongGapEntry]
    spread: SpreadEntry
    gap_lengths: list[GapLengthsEntry]
    step_kinds: list[StepKindEntry]
    requests_per_step: float | None
    shared_gpu: SharedEntry | None
    streams: list[dict[str, Any]]
    batching: BatchingEntry
    coverage: dict[str, Any]
    verdict: VerdictEntry
    predicted: dict[str, Any] | None
    roofline: RooflineEntry | None
    observer: ObserverEntry | None


class StepEntry(msgspec.Struct):
    """One step of one device."""

    process: str
    device: int
    step: int
    found: str
    start_ns: int
    end_ns: int
    host_ns: int
    device_ns: int
    idle_ns: int
    idle_pct: float
    operations: int
    launched_before_previous_ended: bool
    kind: str  # prefill, decode, mixed, or "not told"


class PhaseEntry(msgspec.Struct):
    """One phase of one process."""

    spans: int
    total_ns: int


class HostEntry(msgspec.Struct):
    """How often one process stepped, and its phases by name."""

    process: str
    steps: int
    steps_found_by: str
    step_ns: int | None
    phases: dict[str, PhaseEntry]


class Document(msgspec.Struct):
    """All that `idlescope analyze --json` prints."""

    schema: int
    source: dict[str, Any]
    engine: str | None
    devices: list[DeviceEntry]
    steps: list[StepEntry]
    phases: list[HostEntry]
    warnings: list[str]
    ranks: GroupEntry | None = None  # what the devices of one job did together


def device_entry(
    measured: MeasuredDevice,
    prediction: Prediction | None,
    roofline: Roofline | None,
    observer: Observer | None,
) -> DeviceEntry:
    """Return the figures of one device."""
    occupancy, device = measured.occupancy, measured.device
    compute_idle_pct = percent(occupancy.compute_idle_ns, occupancy.window_ns)
    return DeviceEntry(
        process=device.process_name,
        device=device.index,
        name=device.name,
        identity=device.identity,
        operations=measured.operations_inside,
        window=_window(measured.window),
        window_ns=occupancy.window_ns,
        active_ns=occupancy.active_ns,
        compute_ns=occupancy.compute_ns,
        copy_only_ns=occupancy.copy_only_ns,
        communication_ns=measured.communication.communication_ns,
        exposed_communication_ns=measured.communication.exposed_ns,
        useful_compute_ns=measured.communication.useful_compute_ns,
        idle_ns=occupancy.idle_ns,
        idle_pct=round(measured.idle_pct, 4),
        compute_idle_pct=round(compute_idle_pct, 4),
        gaps=len(measured.gaps),
        short_gaps=ShortGapsEntry(measured.min_gap_ns, *measured.short_gaps),
        cause_ns=measured.gaps.totals(),
        host_ns=measured.host_ns,
        longest_gaps=[_long_gap(gap) for gap in measured.longest],
        spread=_spread(measured.spread),
        gap_lengths=[GapLengthsEntry(*lengths) for lengths in gap_lengths(measured.gaps)],
        step_kinds=_step_kinds(measured),
        requests_per_step=mean_requests(measured),
        shared_gpu=None if measured.shared is None else _shared(measured.shared),
        streams=measured.streams,
        batching=_batching(measured),
        coverage=measured.coverage.to_json(),
        verdict=VerdictEntry(str(measured.verdict.kind), measured.verdict.text),
        predicted=None if prediction is None else prediction.short(),
        roofline=None if roofline is None else _roofline(roofline),
        observer=None if observer is None else _observer(observer),
    )


def _observer(observer: Observer) -> ObserverEntry:
    return ObserverEntry(
        known=observer.known,
        method=observer.method,
        recorded_step_ms=observer.recorded_step_ns / 1e6,
        step_ms=observer.step_ns / 1e6,
        idle_low_pct=observer.idle_low_pct,
        idle_high_pct=observer.idle_high_pct,
        idle_ms_per_step=observer.idle_ms_per_step,
        options=list(observer.options),
        text=observer.text(),
    )


def step_entries(
    measured: MeasuredDevice, begin: int = 0, end: int | None = None
) -> list[StepEntry]:
    """Return the figures of the steps of one device, all or those from one row to another."""
    steps, device = measured.steps, measured.device
    total_ns = steps.device + steps.idle
    return [
        StepEntry(
            process=device.process_name,
            device=device.index,
            step=int(steps.number[row]),
            found=steps.found,
            start_ns=int(steps.start[row]),
            end_ns=int(steps.end[row]),
            host_ns=int(steps.host[row]),
            device_ns=int(steps.device[row]),
            idle_ns=int(steps.idle[row]),
            idle_pct=round(percent(int(steps.idle[row]), int(total_ns[row])), 4),
            operations=int(steps.operations[row]),
            launched_before_previous_ended=bool(steps.early[row]),
            kind=str(STEP_KINDS[steps.kind[row]]),
        )
        for row in range(len(steps))[begin:end]
    ]


def step_parts(devices: Sequence[MeasuredDevice]) -> Iterator[bytes]:
    """Return the figures of each step of devices: JSON lists of some thousands, none of them empty.

    A million steps are some GB as objects, and as text some hundred MB.
    """
    for measured in devices:
        for begin in range(0, len(measured.steps), STEPS_IN_PART):
            entries = step_entries(measured, begin, begin + STEPS_IN_PART)
            for entry in entries:
                entry.process = encodable(entry.process)
            yield msgspec.json.encode(entries)


def host_entry(phases: HostPhases) -> HostEntry:
    """Return the steps and phases of one process."""
    return HostEntry(
        process=phases.process,
        steps=int(phases.starts.size),
        steps_found_by=phases.found,
        step_ns=phases.step_ns,
        phases={
            name: PhaseEntry(phases.spans[name], total_ns)
            for name, total_ns in phases.total_ns.items()
        },
    )


def _window(window: Window) -> WindowEntry:
    return WindowEntry(window.asked, window.start, window.end, window.note or UNSET)


def _long_gap(gap: LongGap) -> LongGapEntry:
    return LongGapEntry(
        start_ns=gap.start_ns,
        length_ns=gap.length_ns,
        step=gap.step if gap.step >= 0 else None,
        cause=gap.cause,
        cause_ns=gap.cause_ns,
        no_demand_ns=gap.no_demand_ns,
        thread=gap.thread,
        stack=list(gap.stack),
        ended_by=gap.ended_by,
    )


def _spread(spread: Concentration) -> SpreadEntry:
    return SpreadEntry(
        kind=str(spread.kind),
        longest_1pct_of_gaps_pct=spread.longest_pct,
        half_in_steps=spread.half_in_steps,
        pauses=spread.pauses,
        pauses_ns=spread.pauses_ns,
        longest_pause_ns=spread.longest_pause_ns,
        pauses_cause_ns=spread.pauses_cause_ns,
        pauses_host_ns=spread.pauses_host_ns,
        doing=spread.doing,
        no_demand_gaps=spread.no_demand_gaps,
        no_demand_ns=spread.no_demand_ns,
    )


def _shared(shared: SharedGpu) -> SharedEntry:
    return SharedEntry(
        identity=shared.identity,
        processes=list(shared.processes),
        window_ns=shared.window_ns,
        active_ns=shared.active_ns,
        idle_ns=shared.idle_ns,
        idle_pct=round(shared.idle_pct, 4),
    )


def _step_kinds(measured: MeasuredDevice) -> list[StepKindEntry]:
    return [
        StepKindEntry(
            kind=str(figures.kind),
            steps=figures.steps,
            step_ns=figures.step_ns,
            host_ns=figures.host_ns,
            device_ns=figures.device_ns,
            idle_ns=figures.idle_ns,
            idle_pct=round(figures.idle_pct, 4),
        )
        for figures in by_kind(measured)
    ]


def _batching(measured: MeasuredDevice) -> BatchingEntry:
    batching = measured.batching
    return BatchingEntry(
        kind=str(batching.kind),
        early=batching.early,
        followers=batching.followers,
        steps_found_by=measured.steps.found,
    )


def _roofline(roofline: Roofline) -> RooflineEntry:
    return RooflineEntry(
        gpu=roofline.gpu.key,
        basis=roofline.basis,
        steps=roofline.steps,
        bytes_per_step=roofline.bytes_per_step,
        flops_per_step=roofline.flops_per_step,
        bandwidth_pct=roofline.bandwidth_pct,
        compute_pct=roofline.compute_pct,
        roofline_pct=roofline.roofline_pct,
        active_roofline_pct=roofline.active_roofline_pct,
        text=roofline.text(),
    )
