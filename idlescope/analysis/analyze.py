"""Analyse a Trace: from columns to the typed result of each device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from idlescope import __version__
from idlescope.analysis import roofline
from idlescope.analysis.idle import causes, host_time, stacks
from idlescope.analysis.idle import occupancy as idle
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.no_device import no_device
from idlescope.analysis.prediction.predict_device import predict_asynchronous
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.steps import batching, find, measure
from idlescope.analysis.steps import window as windows
from idlescope.analysis.steps.host_phases import host_phases
from idlescope.analysis.steps.stated_work import Architecture
from idlescope.analysis.steps.window import Window, WindowKind, WindowSpec
from idlescope.analysis.verdict import coverage
from idlescope.analysis.verdict.advice import advice
from idlescope.analysis.verdict.eager import eager_idle
from idlescope.analysis.verdict.verdict import Findings, judge
from idlescope.analysis.view import DeviceView, device_views
from idlescope.errors import ConfigError, TraceError
from idlescope.hardware.gpus import GPU
from idlescope.trace.model import Device, Operations, RangeKind, Trace
from idlescope.trace.names import span_names
from idlescope.trace.names.engines import Rules
from idlescope.trace.names.span_names import SpanNames


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
) -> Analysis:
    """Return the analysis of the devices of a Trace.

    `window` is `first-last` (of each device's operations), `range:NAME`, `steps:A-B` or `time:A-B`.
    `devices` are device indices; `process` is a pid, rank or file name, or a part of it. Gaps
    shorter than `min_gap_ns` are counted but not listed. `phases` adds engines by name
    (`trace.names.user_file.load`). `model`, `batch_size`, `context` and `gpu` are for the roofline
    (`roofline.measure`). Without operations of any device there are only the phases of a known
    engine's host. Raises TraceError where there are none either, ConfigError where what is asked
    for is not in the trace.
    """
    spec = windows.parse(window)
    names = _span_names(trace, phases)
    everything = spec.kind == WindowKind.FIRST_LAST and devices is None and process is None
    if not len(trace.operations) and not (everything and host_phases(trace, names)):
        raise TraceError(no_device(trace))

    chosen = _chosen(trace, devices, process) if len(trace.operations) else []
    views = device_views(trace, names, chosen)
    measured = [_measure(view, spec, min_gap_ns) for view in views]
    results = tuple(
        DeviceResult(
            **vars(device),
            prediction=predict_asynchronous(trace, device),
            roofline=roofline.measure(device, gpu, model, batch_size, context),
        )
        for device in measured
    )
    warnings = [*trace.meta.warnings]
    warnings += [warning for device in measured for warning in advice(device)]
    if not results:
        warnings.append(no_device(trace))
    return Analysis(
        source=_source(trace),
        phases=names,
        trace=trace,
        results=results,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _span_names(trace: Trace, phases: Mapping[str, Rules] | None) -> SpanNames:
    """Return what the names of annotations mean, with engines of the user's."""
    annotations = trace.ranges.kind == RangeKind.ANNOTATION
    used = np.unique(trace.ranges.name[annotations]).tolist()
    return span_names.recognise(trace.names, used, phases)


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

    used = sorted(np.unique(trace.operations.device).tolist(), key=order)
    chosen = [index for index in used if asked_for(trace.devices[index])]
    if not chosen:
        there = [
            f"device {trace.devices[index].index} of process {trace.devices[index].process_name}"
            for index in used
        ]
        raise ConfigError(f"no device of the trace is the one asked for: it has {', '.join(there)}")
    return chosen


def _measure(view: DeviceView, spec: WindowSpec, min_gap_ns: int) -> MeasuredDevice:
    """Return what one device did within the window that was asked for."""
    division = find.find(view)
    window = windows.resolve(spec, view, division)
    occupancy = idle.occupancy(view.operations, (window.start, window.end))
    gaps = causes.attribute(view, occupancy.gaps)
    steps = measure.measure(view, division, gaps)
    if window.kind != WindowKind.FIRST_LAST:
        steps = steps.within(window.start, window.end)

    covered = coverage.measure(view, gaps, steps)
    host_ns = host_time.divide(view, gaps)
    seen = batching.classify(view, steps, division.step, gaps)
    findings = Findings(
        coverage=covered,
        occupancy=occupancy,
        gaps=gaps,
        host_ns=host_ns,
        steps=steps,
        batching=seen,
        eager_ns=eager_idle(view, division.step, gaps),
        operations=len(view.operations),
    )
    longest = stacks.longest(view, division.step, gaps)
    return MeasuredDevice(
        view=view,
        window=window,
        occupancy=occupancy,
        gaps=gaps,
        min_gap_ns=min_gap_ns,
        host_ns=host_ns,
        steps=steps,
        step=division.step,
        batching=seen,
        longest=[gap for gap in longest if gap.length_ns >= min_gap_ns],
        coverage=covered,
        verdict=judge(findings),
        streams=_streams(view, window),
    )


def _streams(view: DeviceView, window: Window) -> list[dict[str, Any]]:
    """Return the figures of each stream of a device."""
    return [_stream(view, window, int(stream)) for stream in np.unique(view.operations.stream)]


def _stream(view: DeviceView, window: Window, stream: int) -> dict[str, Any]:
    operations: Operations = view.operations.take(view.operations.stream == stream)
    occupancy = idle.occupancy(operations, (window.start, window.end))
    return {
        "stream": view.trace.streams[stream],
        "operations": int(window.touches(operations).sum()),
        "active_ns": occupancy.active_ns,
        "compute_ns": occupancy.compute_ns,
        "idle_ns": occupancy.idle_ns,
    }
