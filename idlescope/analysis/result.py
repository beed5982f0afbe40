"""Analyse a Trace: one typed result for the terminal, the report, pandas and JSON alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from idlescope import __version__
from idlescope.analysis import causes, host, idle, intervals, steps
from idlescope.analysis import coverage as coverage_of
from idlescope.analysis.coverage import Coverage, Verdict
from idlescope.errors import TraceError
from idlescope.trace.model import Device, Operations, Trace

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1


@dataclass(frozen=True)
class DeviceResult:
    """The figures of one device; every one is defined in README.md."""

    device: Device
    operations: Operations  # sorted by start
    occupancy: idle.Occupancy
    gaps: causes.Gaps
    host_ns: dict[str, int]
    steps: steps.Steps
    coverage: Coverage
    verdict: Verdict
    streams: list[dict[str, Any]]

    @property
    def idle_pct(self) -> float:
        """Return idle as a share of the window."""
        return percent(self.occupancy.idle_ns, self.occupancy.window_ns)

    def to_json(self) -> dict[str, Any]:
        """Return the device's entry of `analyze --json`."""
        o = self.occupancy
        return {
            "process": self.device.process_name,
            "device": self.device.index,
            "name": self.device.name,
            "operations": len(self.operations),
            "window": {"kind": "first-last", "start_ns": o.window[0], "end_ns": o.window[1]},
            "window_ns": o.window_ns,
            "active_ns": o.active_ns,
            "compute_ns": o.compute_ns,
            "copy_only_ns": o.copy_only_ns,
            "idle_ns": o.idle_ns,
            "idle_pct": round(self.idle_pct, 4),
            "compute_idle_pct": round(percent(o.compute_idle_ns, o.window_ns), 4),
            "gaps": len(self.gaps),
            "cause_ns": self.gaps.totals(),
            "host_ns": self.host_ns,
            "streams": self.streams,
            "coverage": self.coverage.to_json(),
            "verdict": {"kind": self.verdict.kind, "text": self.verdict.text},
        }


@dataclass(frozen=True)
class Analysis:
    """What `analyze` found."""

    source: dict[str, Any]
    devices: tuple[DeviceResult, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the schema of `idlescope analyze --json` (README.md, "JSON")."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "devices": [d.to_json() for d in self.devices],
            "steps": [row for d in self.devices for row in _step_rows(d)],
            "warnings": list(self.warnings),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row a device with the scalar figures of `to_json`; times in nanoseconds."""
        import pandas as pd

        rows = [d.to_json() for d in self.devices]
        scalar = (int, float, str)
        frame = pd.DataFrame([{k: v for k, v in row.items() if isinstance(v, scalar)} for row in rows])
        for cause in causes.CAUSES:
            frame[f"{cause}_ns"] = [row["cause_ns"][cause] for row in rows]
        return frame


def analyze(trace: Trace) -> Analysis:
    """Return the analysis of every device in a Trace, over the window from its first to its last operation.

    Raises TraceError where no operation ran on any device.
    """
    path = str(trace.meta.get("path", "the trace"))
    if not len(trace.operations):
        raise TraceError(
            f"{path} holds no device operations, only host events: record with ProfilerActivity.CUDA on a GPU machine "
            "and stop the profiler after the work has run"
        )
    devices = tuple(
        _analyze_device(trace, index)
        for index in sorted(range(len(trace.devices)), key=lambda i: trace.devices[i].index)
        if (trace.operations.device == index).any()
    )
    source = {
        "path": path,
        "format": str(trace.meta.get("format", "memory")),
        "tool_version": __version__,
        "events": int(trace.meta.get("events", len(trace.operations) + len(trace.calls) + len(trace.ranges))),
    }
    return Analysis(source, devices, tuple(trace.meta.get("warnings", ())))


def _analyze_device(trace: Trace, index: int) -> DeviceResult:
    operations = trace.operations.take(trace.operations.device == index)
    operations = operations.take(np.lexsort((operations.end, operations.start)))
    occupancy = idle.occupancy(operations)
    launches = causes.link(trace, operations)
    gaps = causes.attribute(trace, operations, launches, occupancy.gaps)
    covered = coverage_of.measure(trace, operations, launches)
    return DeviceResult(
        device=trace.devices[index],
        operations=operations,
        occupancy=occupancy,
        gaps=gaps,
        host_ns=host.divide(trace, gaps),
        steps=steps.find(trace, operations, launches, gaps),
        coverage=covered,
        verdict=coverage_of.judge(covered, occupancy, gaps),
        streams=_streams(trace, operations),
    )


def _streams(trace: Trace, operations: Operations) -> list[dict[str, Any]]:
    rows = []
    for stream in np.unique(operations.stream):
        mine = operations.take(operations.stream == stream)
        compute = idle.is_compute(mine)
        rows.append(
            {
                "stream": trace.streams[stream],
                "operations": len(mine),
                "active_ns": intervals.union(mine.start, mine.end).measure,
                "compute_ns": intervals.union(mine.start[compute], mine.end[compute]).measure,
            }
        )
    return rows


def _step_rows(result: DeviceResult) -> list[dict[str, Any]]:
    s = result.steps
    return [
        {
            "device": result.device.index,
            "step": int(s.number[i]),
            "found": s.found,
            "start_ns": int(s.start[i]),
            "end_ns": int(s.end[i]),
            "host_ns": int(s.host[i]),
            "device_ns": int(s.device[i]),
            "idle_ns": int(s.idle[i]),
            "idle_pct": round(percent(int(s.idle[i]), int(s.idle[i] + s.device[i])), 4),
            "launched_before_previous_ended": bool(s.early[i]),
        }
        for i in range(len(s))
    ]


def percent(part: int, whole: int) -> float:
    """Return a part in per cent of the whole, 0 of nothing."""
    return 100.0 * part / whole if whole else 0.0
