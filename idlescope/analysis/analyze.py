"""Analyse a Trace: from columns to the typed result of each device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs

from idlescope import __version__
from idlescope.analysis import roofline
from idlescope.analysis.grouping import by_value
from idlescope.analysis.idle import causes, concentration, demand, stacks
from idlescope.analysis.idle import occupancy as idle
from idlescope.analysis.idle.communication import communication
from idlescope.analysis.idle.shared_gpu import SharedGpu, shared_gpus
from idlescope.analysis.measured import MeasuredDevice, Rest
from idlescope.analysis.observer import observe
from idlescope.analysis.prediction.predict_device import predict_asynchronous
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.steps import batching, find, measure
from idlescope.analysis.steps import window as windows
from idlescope.analysis.steps.batching import BatchingKind
from idlescope.analysis.steps.host_phases import host_phases
from idlescope.analysis.steps.stated_work import Architecture
from idlescope.analysis.steps.window import Window, WindowKind, WindowSpec
from idlescope.analysis.verdict import begun_before, coverage, start_up
from idlescope.analysis.verdict.advice import advice
from idlescope.analysis.verdict.doubts import doubts, within
from idlescope.analysis.verdict.eager import eager_idle
from idlescope.analysis.verdict.findings import Findings, Verdict, VerdictKind
from idlescope.analysis.verdict.launch_calls import launch_calls
from idlescope.analysis.verdict.remedy import with_remedy
from idlescope.analysis.verdict.verdict import judge
from idlescope.analysis.view import DeviceView, device_views
from idlescope.errors import ConfigError, TraceError
from idlescope.hardware.gpus import GPU
from idlescope.trace import unprofiled as unprofiled_steps
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Device, RangeKind, Trace
from idlescope.trace.names import span_names
from idlescope.trace.names.engines import Rules
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.unprofiled import UnprofiledStep
from idlescope.trace.watch_said import NOT_WATCHED, said_by_watch

if TYPE_CHECKING:
    from idlescope.analysis.ranks.group import Group

LONGEST_STEP_MS = 1e9
MOST_DEVICES = 2_048  # of a trace, each measured by itself
MOST_STREAMS = 100_000
MOST_THREADS = 4_096  # that make calls which launch
IN_STEP = (
    0.1  # ranks of one job have as many steps, but for those at the ends of the recording
)
NOT_JUDGED = Verdict(
    VerdictKind.CANNOT_TELL, ""
)  # while a device's figures are put together


def analyze(
    trace: Trace,
    *,
    window: str = windows.FIRST_LAST,
    devices: Sequence[int] | None = None,
    process: str | None = None,
    min_gap_ns: int = 0,
    phases: Mapping[str, Rules] | None = None,
    model: Architecture | None = None,
    batch_size: int | None = None,
    context: int | None = None,
    gpu: GPU | None = None,
    step_ms: float | None = None,
) -> Analysis:
    """Return the analysis of the devices of a Trace.

    `window` is `first-last` (of each device's operations), `range:NAME`, `steps:A-B` or `time:A-B`.
    `devices` are device indices; `process` is a pid, rank or file name, or a part of it. Gaps
    shorter than `min_gap_ns` are counted but not listed. `phases` adds engines by name
    (`trace.names.user_file.load`). `model`, `batch_size`, `context` and `gpu` are for the roofline
    (`roofline.measure`). `step_ms` is how long a step takes without the profiler, where that is
    known; else what `idlescope capture` noted beside the trace counts. Without operations of any
    device there are only the phases of a known engine's host. Raises TraceError where there are
    none either, ConfigError where what is asked for is not in the trace.
    """
    spec = windows.parse(window)
    names = _span_names(trace, phases)
    everything = spec.kind == WindowKind.FIRST_LAST and devices is None and process is None
    if not len(trace.operations) and not (everything and host_phases(trace, names)):
        raise TraceError(_why_no_device(trace))
    _refuse_crowds(trace)

    chosen = _chosen(trace, devices, process) if len(trace.operations) else []
    views = device_views(trace, names, chosen)
    unprofiled = _unprofiled(trace, step_ms)
    shared = shared_gpus(trace)
    measured = _driven(
        [
            _measure(view, spec, min_gap_ns, unprofiled, shared.get(view.device))
            for view in views
        ]
    )
    results = []
    for device in measured:
        # What a process would do with the whole of a GPU that it shares, its trace cannot tell.
        part = replace(device.judged_part, verdict=device.verdict)
        alone = part.shared is None
        prediction = predict_asynchronous(device.view.trace, device) if alone else None
        explained = replace(device, verdict=with_remedy(part, prediction))
        results.append(
            DeviceResult(
                **vars(explained),
                prediction=prediction,
                roofline=roofline.measure(device, gpu, model, batch_size, context),
                observer=observe(device, prediction),
            )
        )
    together = None
    if len(results) > 1:
        together, results = _as_ranks(trace, results)
    warnings = [*trace.meta.warnings]
    warnings += [warning for device in measured for warning in advice(device)]
    if trace.meta.path and unprofiled is None:
        warnings += filter(None, [unprofiled_steps.of_a_lost_trace(Path(trace.meta.path))])
    if not results:
        warnings.append(_why_no_device(trace))
    return Analysis(
        source=_source(trace),
        phases=names,
        trace=trace,
        results=tuple(results),
        warnings=tuple(dict.fromkeys(warnings)),
        group=together,
    )


def _as_ranks(
    trace: Trace, results: list[DeviceResult]
) -> tuple[Group | None, list[DeviceResult]]:
    """Return what several devices did together, and each with what that says of its verdict."""
    from idlescope.analysis.ranks.of_trace import ranks_together, with_ranks

    together = ranks_together(trace, results, [result.prediction for result in results])
    if together is None:
        return None, results
    verdicts = with_ranks(together, [result.verdict for result in results])
    return together, [
        replace(result, verdict=verdict)
        for result, verdict in zip(results, verdicts, strict=True)
    ]


def _why_no_device(trace: Trace) -> str:
    from idlescope.analysis.no_device import no_device

    return no_device(trace)


def _unprofiled(trace: Trace, step_ms: float | None) -> UnprofiledStep | None:
    """Return how long a step takes without the profiler, as given or as noted beside the trace.

    Raises ConfigError where a time is given that is none.
    """
    if step_ms is None:
        return unprofiled_steps.beside(Path(trace.meta.path)) if trace.meta.path else None
    if not 0 < step_ms < LONGEST_STEP_MS:
        raise ConfigError(f"--step-ms is {step_ms}: give a step's time in ms, such as 7.5")
    return UnprofiledStep(step_ms, step_ms, step_ms, "as given")


def _driven(devices: list[MeasuredDevice]) -> list[MeasuredDevice]:
    """Return the devices, those whose own waits tell nothing with the batching of their driver.

    Of tensor-parallel ranks only the one that returns tokens waits for them; the others follow it.
    """
    drivers = [device for device in devices if device.batching.kind != BatchingKind.UNKNOWN]
    return [_with_driver(device, drivers) for device in devices]


def _with_driver(device: MeasuredDevice, drivers: list[MeasuredDevice]) -> MeasuredDevice:
    steps = len(device.steps)
    if device.batching.kind != BatchingKind.UNKNOWN or not steps:
        return device
    for driver in drivers:
        if abs(len(driver.steps) - steps) <= IN_STEP * steps:
            name = f"{driver.device.process_name}, device {driver.device.index}"
            taken = structs.replace(
                driver.batching, early=device.batching.early, driver=name
            )
            followers = device.batching.followers
            return judged(
                replace(device, batching=structs.replace(taken, followers=followers))
            )
    return device


def _span_names(trace: Trace, phases: Mapping[str, Rules] | None) -> SpanNames:
    """Return what the names of annotations and frames mean, with engines of the user's."""
    annotations = _names_of(trace, RangeKind.ANNOTATION)
    frames = _names_of(trace, RangeKind.FRAME)
    return span_names.recognise(trace.names, annotations, phases, frames)


def _names_of(trace: Trace, kind: RangeKind) -> list[int]:
    """Return the indices of the names that ranges of a kind have, in order."""
    has_name = np.zeros(len(trace.names), np.bool_)
    has_name[trace.ranges.name[trace.ranges.kind == kind]] = True
    names: list[int] = np.flatnonzero(has_name).tolist()
    return names


def _source(trace: Trace) -> dict[str, Any]:
    """Return the `source` of `analyze --json`."""
    held = len(trace.operations) + len(trace.calls) + len(trace.ranges)
    return {
        "path": trace.meta.path or "the trace",
        "format": trace.meta.format,
        "tool_version": __version__,
        "events": trace.meta.events or held,
    }


def _chosen(trace: Trace, devices: Sequence[int] | None, process: str | None) -> list[int]:
    """Return the devices to analyse, as indices into trace.devices, by process, then by index.

    Raises ConfigError where none is the one asked for.
    """

    def order(index: int) -> tuple[int, int]:
        return trace.devices[index].process, trace.devices[index].index

    def asked_for(device: Device) -> bool:
        by_index = devices is None or device.index in devices
        by_process = process is None or process in device.process_name
        return by_index and by_process

    used = sorted(distinct(trace.operations.device).tolist(), key=order)
    chosen = [index for index in used if asked_for(trace.devices[index])]
    if not chosen:
        there = [
            f"device {trace.devices[index].index} of process {trace.devices[index].process_name}"
            for index in used
        ]
        raise ConfigError(
            f"no device of the trace is the one asked for: it has {', '.join(there)}"
        )
    return chosen


def _measure(
    view: DeviceView,
    spec: WindowSpec,
    min_gap_ns: int,
    unprofiled: UnprofiledStep | None,
    shared: SharedGpu | None,
) -> MeasuredDevice:
    """Return what one device did within the window that was asked for."""
    division = find.find(view)
    window = windows.resolve(spec, view, division.of_engine)
    device = _figures(view, division, window, unprofiled, shared)
    of_rest = _rest(device, division)
    if of_rest is not None:
        device = replace(device, batching=of_rest.device.batching)
    longest = stacks.longest(view, device.step, device.gaps)
    return judged(
        replace(
            device,
            min_gap_ns=min_gap_ns,
            longest=[gap for gap in longest if gap.length_ns >= min_gap_ns],
            streams=_streams(view, window),
            of_rest=of_rest,
        )
    )


def _figures(
    view: DeviceView,
    division: find.Division,
    window: Window,
    unprofiled: UnprofiledStep | None,
    shared: SharedGpu | None,
) -> MeasuredDevice:
    """Return what the verdict on a device depends on: no lists of its longest gaps and streams."""
    of_engine = division.of_engine
    occupancy = idle.occupancy(view.operations, (window.start, window.end))
    gaps = causes.attribute(view, occupancy.gaps)
    steps = of_trace = measure.measure(view, of_engine, gaps)
    empty = measure.measure(view, division.of_nothing, gaps)
    if window.kind != WindowKind.FIRST_LAST:
        steps = steps.within(window.start, window.end)
        empty = empty.within(window.start, window.end)
        shared = shared and shared.within(window.start, window.end)

    view_inside = within(view, window)
    launches = launch_calls(view_inside)
    if window.kind != WindowKind.FIRST_LAST:
        launches = launches.within(view.trace.calls, window.start, window.end)
    doubted = doubts(view_inside, launches, window, occupancy, gaps)
    covered = coverage.measure(view_inside, launches, gaps, steps, doubted)
    gaps = demand.with_said(view, gaps)
    usual_ns = concentration.usual_step_ns(steps, of_trace)
    apart = concentration.set_apart(view, gaps, usual_ns, empty, division.step)
    seen = batching.classify(view, steps, of_engine.step, gaps, apart.touched)
    host_time = demand.divide(view, gaps, apart)
    gaps = demand.with_starved(gaps, apart.starved)
    spread = concentration.concentration(gaps, steps, apart, host_time.pauses)
    return MeasuredDevice(
        view=view,
        window=window,
        occupancy=occupancy,
        communication=communication(view, occupancy),
        gaps=gaps,
        min_gap_ns=0,
        host_ns=host_time.all,
        steps=steps,
        empty=empty,
        spread=spread,
        apart=apart,
        step=of_engine.step,
        batching=seen,
        longest=[],
        coverage=covered,
        verdict=NOT_JUDGED,
        streams=[],
        doubts=doubted,
        of_rest=None,
        unprofiled=unprofiled,
        shared=shared,
    )


def _rest(device: MeasuredDevice, division: find.Division) -> Rest | None:
    """Return a device without a beginning that is something else; None where there is little."""
    view, window = device.view, device.window
    what = "in which it started up and captured CUDA graphs"
    rest = start_up.rest(view, window, division.of_engine, device.gaps)
    if rest is None and not device.coverage.in_flight_at_start:
        what = "which ran what was launched before the recording began"
        rest = begun_before.rest(view, window)
    if rest is None:
        return None
    start, end = rest
    asked = windows.time_text(view, start, end)
    rest_window = windows.resolve(windows.parse(asked), view, division.of_engine)
    measured = _figures(view, division, rest_window, device.unprofiled, device.shared)
    left_out_ms = (start - window.start) / 1e6
    return Rest(measured, f"its first {left_out_ms:,.1f} ms, {what} (--window {asked})")


def judged(device: MeasuredDevice) -> MeasuredDevice:
    """Return a device with the verdict that its figures carry."""
    if device.of_rest is not None:
        part = replace(device.of_rest.device, batching=device.batching)
        of_part = judged(part)
        text = f"Without {device.of_rest.left_out}: {of_part.verdict.text}"
        verdict = structs.replace(of_part.verdict, text=text)
        of_rest = structs.replace(device.of_rest, device=of_part)
        return replace(device, verdict=verdict, of_rest=of_rest)
    findings = Findings(
        coverage=device.coverage,
        occupancy=device.occupancy,
        communication=device.communication,
        gaps=device.gaps,
        host_ns=device.host_ns,
        steps=device.steps,
        empty=device.empty,
        spread=device.spread,
        apart=device.apart,
        shared=device.shared,
        batching=device.batching,
        unprofiled=device.unprofiled,
        eager_ns=eager_idle(device.view, device.step, device.gaps),
        doubts=device.doubts,
        operations=device.operations_inside,
        watched=said_by_watch(device.view.trace.meta) is not NOT_WATCHED,
    )
    return replace(device, verdict=judge(findings))


def _refuse_crowds(trace: Trace) -> None:
    """Raise TraceError for more devices or launching threads than any recording has.

    Each is measured by itself: numbers that are damaged would keep one waiting for hours.
    """
    launching = trace.calls.thread[trace.calls.correlation != 0]
    used = distinct(trace.operations.device)
    of_processes = distinct(trace.process_of_device[used])
    for what, count, most in (
        ("processes with a device", of_processes.size, MOST_DEVICES),
        ("devices", used.size, MOST_DEVICES),
        ("streams", distinct(trace.operations.stream).size, MOST_STREAMS),
        ("threads that launch", distinct(launching).size, MOST_THREADS),
    ):
        if count > most:
            raise TraceError(
                f"{trace.meta.path} holds {count:,} {what}, more than any recording "
                f"({most:,}): their numbers are damaged"
            )


def _streams(view: DeviceView, window: Window) -> list[dict[str, Any]]:
    """Return the figures of each stream of a device."""
    operations = view.operations
    streams, by_stream = by_value(operations.stream)
    touching = by_stream.only(window.touches(operations)).sizes()
    of_streams = idle.occupancy_by_group(operations, by_stream, (window.start, window.end))
    return [
        {
            "stream": view.trace.streams[stream],
            "operations": int(touching[row]),
            "active_ns": int(of_streams.active_ns[row]),
            "compute_ns": int(of_streams.compute_ns[row]),
            "idle_ns": int(of_streams.idle_ns[row]),
        }
        for row, stream in enumerate(streams.tolist())
    ]
