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
from idlescope.analysis.prediction.predict_device import predict_asynchronous
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.steps import batching, find, measure
from idlescope.analysis.steps import window as window_of
from idlescope.analysis.steps.host_phases import host_phases
from idlescope.analysis.steps.stated_work import Architecture
from idlescope.analysis.steps.window import Window
from idlescope.analysis.verdict import coverage, verdict
from idlescope.analysis.verdict.advice import advice
from idlescope.analysis.view import DeviceView, device_views
from idlescope.errors import ConfigError, TraceError
from idlescope.hardware.gpus import GPU
from idlescope.trace.model import Operations, RangeKind, Trace
from idlescope.trace.names import span_names
from idlescope.trace.names.engines import Rules


def analyze(
    trace: Trace,
    *,
    window: str = window_of.FIRST_LAST,
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

    `window` is `first-last` (of each device's operations), `range:NAME`, `steps:A-B` or `time:A-B`; `devices` are
    device indices; `process` is a pid, rank or file name, or a part of it; gaps shorter than `min_gap_ns` are counted
    but not listed; `phases` adds engines by name (`trace.phases.load`). `model`, `batch_size`, `context` and `gpu` are
    for the roofline (`roofline.measure`). Without operations of any device there are only the phases of a known
    engine's host. Raises TraceError where there are none either, ConfigError where what is asked for is not in the
    trace.
    """
    path = trace.meta.path or "the trace"
    spec = window_of.parse(window)
    used = trace.ranges.name[trace.ranges.kind == RangeKind.ANNOTATION]
    known = span_names.recognise(trace.names, np.unique(used).tolist(), phases)
    whole = spec.text == window_of.FIRST_LAST and devices is None and process is None
    if not len(trace.operations) and not (whole and host_phases(trace, known)):
        raise TraceError(no_device(trace))
    chosen = _chosen(trace, devices, process) if len(trace.operations) else []
    measured = [
        _analyze_device(view, spec, min_gap_ns) for view in device_views(trace, known, chosen)
    ]
    results = tuple(
        DeviceResult(
            **vars(device),
            prediction=predict_asynchronous(trace, device),
            roofline=roofline.measure(trace, device, gpu, model, batch_size, context),
        )
        for device in measured
    )
    source = {
        "path": path,
        "format": trace.meta.format,
        "tool_version": __version__,
        "events": trace.meta.events or len(trace.operations) + len(trace.calls) + len(trace.ranges),
    }
    warnings = (*trace.meta.warnings, *(w for d in measured for w in advice(d)))
    if not results:
        warnings = (*warnings, no_device(trace))
    return Analysis(source, known, trace, results, tuple(dict.fromkeys(warnings)))


def no_device(trace: Trace) -> str:
    """Return what to say of a trace without device operations."""
    lost = "; " + "; ".join(trace.meta.warnings) if trace.meta.lost else ""
    how = (
        "nsys profile --trace=cuda,nvtx" if trace.meta.format == "nsys" else "ProfilerActivity.CUDA"
    )
    path = trace.meta.path or "the trace"
    return (
        f"{path} holds no device operations, only host events{lost}: record with {how} on a GPU machine, and stop the "
        "profiler after the work has run"
    )


def _chosen(trace: Trace, devices: Sequence[int] | None, process: str | None) -> list[int]:
    """Return the devices to analyse, as indices into Trace.devices, by process and then by index."""
    ran = np.unique(trace.operations.device).tolist()
    order = sorted(ran, key=lambda i: (trace.devices[i].process, trace.devices[i].index))
    chosen = [
        i for i in order
        if (devices is None or trace.devices[i].index in devices)
        and (process is None or process in trace.devices[i].process_name)
    ]  # fmt: skip
    if not chosen:
        there = ", ".join(
            f"device {trace.devices[i].index} of process {trace.devices[i].process_name}"
            for i in order
        )
        raise ConfigError(f"no device of the trace is the one asked for: it has {there}")
    return chosen


def _analyze_device(
    view: DeviceView, spec: window_of.WindowSpec, min_gap_ns: int
) -> MeasuredDevice:
    division = find.find(view)
    chosen = window_of.resolve(spec, view, division)
    occupancy = idle.occupancy(view.operations, (chosen.start, chosen.end))
    gaps = causes.attribute(view, occupancy.gaps)
    steps = measure.measure(view, division, gaps)
    if chosen.kind != window_of.FIRST_LAST:
        steps = steps.within(chosen.start, chosen.end)
    covered = coverage.measure(view, gaps, steps)
    host_ns = host_time.divide(view, gaps)
    seen = batching.classify(view, steps)
    eager_ns = verdict.eager_idle(view, division.step, gaps)
    longest = [gap for gap in stacks.longest(view, division, gaps) if gap.length_ns >= min_gap_ns]
    return MeasuredDevice(
        view=view,
        window=chosen,
        occupancy=occupancy,
        gaps=gaps,
        min_gap_ns=min_gap_ns,
        host_ns=host_ns,
        steps=steps,
        step=division.step,
        batching=seen,
        longest=longest,
        coverage=covered,
        verdict=verdict.judge(
            covered, occupancy, gaps, host_ns, steps, seen, eager_ns, len(view.operations)
        ),
        streams=_streams(view.trace, view.operations, chosen),
    )


def _streams(trace: Trace, operations: Operations, chosen: Window) -> list[dict[str, Any]]:
    rows = []
    for stream in np.unique(operations.stream):
        mine = operations.take(operations.stream == stream)
        used = idle.occupancy(mine, (chosen.start, chosen.end))
        rows.append(
            {
                "stream": trace.streams[stream],
                "operations": int(chosen.touches(mine).sum()),
                "active_ns": used.active_ns,
                "compute_ns": used.compute_ns,
                "idle_ns": used.idle_ns,
            }
        )
    return rows
