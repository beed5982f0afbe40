"""Analyse a Trace: one typed result for the terminal, the report, pandas and JSON alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from idlescope import __version__
from idlescope.analysis import batching as batching_of
from idlescope.analysis import causes, host, idle, stacks, steps, verdict, waits
from idlescope.analysis import coverage as coverage_of
from idlescope.analysis import window as window_of
from idlescope.analysis.batching import Batching
from idlescope.analysis.coverage import Coverage
from idlescope.analysis.intervals import percent
from idlescope.analysis.stacks import LongGap
from idlescope.analysis.verdict import Verdict
from idlescope.analysis.window import Window
from idlescope.errors import ConfigError, TraceError
from idlescope.trace import phases as phases_of
from idlescope.trace.model import Bool, Device, Int64, Operations, RangeKind, Trace
from idlescope.trace.phases import Phases, Rules

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
STARTING_NS = 2_000_000  # a first gap this much longer than five usual ones is not the engine's own


@dataclass(frozen=True)
class DeviceResult:
    """The figures of one device; every one is defined in README.md."""

    device: Device
    window: Window
    operations: Operations  # all of the device's, sorted by start
    launches: Int64  # index into Trace.calls of the launch of each operation; -1: not captured
    occupancy: idle.Occupancy
    gaps: causes.Gaps
    min_gap_ns: int  # gaps shorter than this are counted, but not listed
    host_ns: dict[str, int]
    steps: steps.Steps
    step: Int64  # of each operation; -1: not known
    batching: Batching
    longest: list[LongGap]
    coverage: Coverage
    verdict: Verdict
    streams: list[dict[str, Any]]

    @property
    def idle_pct(self) -> float:
        """Return idle as a share of the window."""
        return percent(self.occupancy.idle_ns, self.occupancy.window_ns)

    @property
    def short_gaps(self) -> tuple[int, int]:
        """Return how many gaps are shorter than `min_gap_ns`, and how long they are together, in ns."""
        length = self.gaps.length
        short = length < self.min_gap_ns
        return int(short.sum()), int(length[short].sum())

    def to_json(self) -> dict[str, Any]:
        """Return the device's entry of `analyze --json`."""
        o, (short, short_ns) = self.occupancy, self.short_gaps
        return {
            "process": self.device.process_name,
            "device": self.device.index,
            "name": self.device.name,
            "identity": self.device.identity,
            "operations": len(self.operations),
            "window": self.window.to_json(),
            "window_ns": o.window_ns,
            "active_ns": o.active_ns,
            "compute_ns": o.compute_ns,
            "copy_only_ns": o.copy_only_ns,
            "idle_ns": o.idle_ns,
            "idle_pct": round(self.idle_pct, 4),
            "compute_idle_pct": round(percent(o.compute_idle_ns, o.window_ns), 4),
            "gaps": len(self.gaps),
            "short_gaps": {"below_ns": self.min_gap_ns, "gaps": short, "idle_ns": short_ns},
            "cause_ns": self.gaps.totals(),
            "host_ns": self.host_ns,
            "longest_gaps": [gap.to_json() for gap in self.longest],
            "streams": self.streams,
            "batching": {
                "kind": self.batching.kind, "early": self.batching.early, "followers": self.batching.followers,
                "steps_found_by": self.steps.found,
            },
            "coverage": self.coverage.to_json(),
            "verdict": {"kind": self.verdict.kind, "text": self.verdict.text},
        }  # fmt: skip


@dataclass(frozen=True)
class Analysis:
    """What `analyze` found; as typed results, as JSON, and as pandas DataFrames with times in integer nanoseconds."""

    source: dict[str, Any]
    engine: str  # whose span names the trace holds; empty where none is known
    trace: Trace
    results: tuple[DeviceResult, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the schema of `idlescope analyze --json` (README.md, "JSON")."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "engine": self.engine or None,
            "devices": [d.to_json() for d in self.results],
            "steps": [row for d in self.results for row in _step_rows(d)],
            "warnings": list(self.warnings),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row a device with the scalar figures of `to_json`, and `<cause>_ns` for each cause."""
        import pandas as pd

        rows = [d.to_json() for d in self.results]
        scalar = (int, float, str)
        frame = pd.DataFrame([{k: v for k, v in row.items() if isinstance(v, scalar)} for row in rows])
        for cause in causes.CAUSES:
            frame[f"{cause}_ns"] = [row["cause_ns"][cause] for row in rows]
        frame["linked_pct"] = [d.coverage.linked_pct for d in self.results]
        frame["verdict"] = [d.verdict.kind for d in self.results]
        return frame

    @property
    def devices(self) -> pd.DataFrame:
        """Return `to_frame()`."""
        return self.to_frame()

    @property
    def steps(self) -> pd.DataFrame:
        """Return one row a step and device: the columns of `steps` in the JSON."""
        import pandas as pd

        return pd.DataFrame([row for d in self.results for row in _step_rows(d)], columns=list(_STEP_COLUMNS))

    @property
    def gaps(self) -> pd.DataFrame:
        """Return one row a gap that is not shorter than `min_gap_ns`.

        Columns: process, device, start_ns, end_ns, length_ns, host_ns, launch_ns, queued_ns, unattributed_ns, step
        (of the operation that ended it; -1: not known), ended_by (its name), launched_by (the call; empty: not
        captured), thread (the launching one).
        """
        import pandas as pd

        frames = []
        for d in self.results:
            kept = np.flatnonzero(d.gaps.length >= d.min_gap_ns)
            operation, call = d.gaps.operation[kept], d.gaps.call[kept]
            names = np.array([*self.trace.names, ""], object)  # the last one stands for "none"
            threads = np.array([*(t.label for t in self.trace.threads), ""], object)
            none = operation < 0
            columns: dict[str, Any] = {"process": d.device.process_name, "device": d.device.index}
            columns |= {"start_ns": d.gaps.start[kept], "end_ns": d.gaps.end[kept], "length_ns": d.gaps.length[kept]}
            columns |= {f"{cause}_ns": getattr(d.gaps, cause)[kept] for cause in causes.CAUSES}
            columns["step"] = np.where(none, -1, d.step[operation])
            columns["ended_by"] = names[np.where(none, -1, d.operations.name[operation])]
            made = self.trace.calls.take(call[call >= 0])
            for key, table, codes in (("launched_by", names, made.name), ("thread", threads, made.thread)):
                columns[key] = np.full(kept.size, "", object)
                columns[key][call >= 0] = table[codes]
            frames.append(pd.DataFrame(columns, index=range(kept.size)))
        return pd.concat(frames, ignore_index=True)

    @property
    def host(self) -> pd.DataFrame:
        """Return how `host` idle divides: process, device, doing, ns, pct_of_host, pct_of_idle; largest first."""
        import pandas as pd

        rows = [
            {
                "process": d.device.process_name, "device": d.device.index, "doing": doing, "ns": ns,
                "pct_of_host": percent(ns, d.gaps.totals()["host"]), "pct_of_idle": percent(ns, d.occupancy.idle_ns),
            }
            for d in self.results
            for doing, ns in d.host_ns.items()
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["process", "device", "doing", "ns", "pct_of_host", "pct_of_idle"])


def analyze(
    trace: Trace,
    *,
    window: str = window_of.FIRST_LAST,
    devices: Sequence[int] | None = None,
    process: str | None = None,
    min_gap_ns: int = 0,
    phases: Mapping[str, Rules] | None = None,
) -> Analysis:
    """Return the analysis of the devices of a Trace.

    `window` is `first-last` (of each device's operations), `range:NAME`, `steps:A-B` or `time:A-B`; `devices` are
    device indices; `process` is a pid, rank or file name, or a part of it; gaps shorter than `min_gap_ns` are counted
    but not listed; `phases` adds engines by name (`trace.phases.load`). Raises TraceError where no operation ran on
    any device, ConfigError where what is asked for is not in the trace.
    """
    path = str(trace.meta.get("path", "the trace"))
    if not len(trace.operations):
        lost = "; " + "; ".join(trace.meta["warnings"]) if trace.meta.get("lost") else ""
        how = "nsys profile --trace=cuda,nvtx" if trace.meta.get("format") == "nsys" else "ProfilerActivity.CUDA"
        raise TraceError(
            f"{path} holds no device operations, only host events{lost}: record with {how} on a GPU machine, and stop "
            "the profiler after the work has run"
        )
    spec = window_of.parse(window)
    used = trace.ranges.name[trace.ranges.kind == RangeKind.ANNOTATION]
    known = phases_of.recognise(trace.names, np.unique(used).tolist(), phases)
    links = causes.link(trace, trace.operations)
    waiting = waits.waiting(trace, links)
    results = tuple(
        _analyze_device(trace, index, links, waiting, known, spec, min_gap_ns)
        for index in _chosen(trace, devices, process)
    )
    source = {
        "path": path,
        "format": str(trace.meta.get("format", "memory")),
        "tool_version": __version__,
        "events": int(trace.meta.get("events", len(trace.operations) + len(trace.calls) + len(trace.ranges))),
    }
    warnings = (*trace.meta.get("warnings", ()), *(w for d in results for w in _advice(d)))
    return Analysis(source, known.engine, trace, results, tuple(dict.fromkeys(warnings)))


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
        there = ", ".join(f"device {trace.devices[i].index} of process {trace.devices[i].process_name}" for i in order)
        raise ConfigError(f"no device of the trace is the one asked for: it has {there}")
    return chosen


def _analyze_device(
    trace: Trace, index: int, links: Int64, waiting: Bool, known: Phases, spec: window_of.WindowSpec, min_gap_ns: int
) -> DeviceResult:
    device = trace.devices[index]
    rows = np.flatnonzero(trace.operations.device == index)
    rows = rows[np.lexsort((trace.operations.end[rows], trace.operations.start[rows]))]
    operations, launches = trace.operations.take(rows), links[rows]
    division = steps.find(trace, device.process, operations, launches, waiting, known)
    chosen = window_of.resolve(spec, trace, operations, division, int(trace.operations.start.min()))
    occupancy = idle.occupancy(operations, (chosen.start, chosen.end))
    gaps = causes.attribute(trace, operations, launches, occupancy.gaps)
    measured = steps.measure(trace, operations, division, launches, waiting, gaps)
    if chosen.kind != window_of.FIRST_LAST:
        measured = measured.within(chosen.start, chosen.end)
    covered = coverage_of.measure(trace, device.process, operations, launches, waiting, occupancy, measured)
    host_ns = host.divide(trace, gaps, waiting, known)
    seen = batching_of.classify(trace, links, waiting, measured)
    eager = verdict.eager_idle(trace, operations, launches, division.step, gaps)
    return DeviceResult(
        device=device,
        window=chosen,
        operations=operations,
        launches=launches,
        occupancy=occupancy,
        gaps=gaps,
        min_gap_ns=min_gap_ns,
        host_ns=host_ns,
        steps=measured,
        step=division.step,
        batching=seen,
        longest=[g for g in stacks.longest(trace, operations, division, gaps) if g.length_ns >= min_gap_ns],
        coverage=covered,
        verdict=verdict.judge(covered, occupancy, gaps, host_ns, measured, seen, eager, len(operations)),
        streams=_streams(trace, operations, chosen),
    )


def _advice(result: DeviceResult) -> list[str]:
    """Return what a reader of the figures should know, and can do about it."""
    c, advice, which = result.coverage, [], f"device {result.device.index}"
    if result.longest and len(result.steps) > 3:
        usual = float(np.median(result.steps.idle[1:]))
        if result.longest[0].step == int(result.steps.number[0]) and result.steps.idle[0] > 5 * usual + STARTING_NS:
            advice.append(
                f"{which}: the first step exposes {result.steps.idle[0] / 1e6:.1f} ms of idle, the others "
                f"{usual / 1e6:.1f} ms: probably the profiler starting up; leave it out with --window "
                f"steps:{result.steps.number[1]}-{result.steps.number[-1]}"
            )
    if c.launched_before_recording:
        advice.append(
            f"{which}: {c.launched_before_recording:,} operations were launched before the recording began and have no "
            "known cause"
        )
    if c.graph_mode == "graph-level":
        advice.append(
            f"{which}: CUDA graphs are recorded as one piece each, so idle time inside them does not show; record with "
            "nsys --cuda-graph-trace=node to see it"
        )
    if c.operations_before_launch:
        advice.append(
            f"{which}: {c.operations_before_launch:,} operations start before their launch does: clocks that disagree, "
            "or corrupted records"
        )
    if c.first_step_clipped or c.last_step_clipped:
        ends = [end for end, cut in (("first", c.first_step_clipped), ("last", c.last_step_clipped)) if cut]
        advice.append(f"{which}: the {' and the '.join(ends)} step is cut off: it has few of the usual operations")
    return advice


def _streams(trace: Trace, operations: Operations, chosen: Window) -> list[dict[str, Any]]:
    rows = []
    for stream in np.unique(operations.stream):
        mine = operations.take(operations.stream == stream)
        inside = mine.take((mine.end > chosen.start) & (mine.start < chosen.end))
        used = idle.occupancy(mine, (chosen.start, chosen.end))
        rows.append(
            {
                "stream": trace.streams[stream],
                "operations": len(inside),
                "active_ns": used.active_ns,
                "compute_ns": used.compute_ns,
                "idle_ns": used.idle_ns,
            }
        )
    return rows


_STEP_COLUMNS = (
    "process", "device", "step", "found", "start_ns", "end_ns", "host_ns", "device_ns", "idle_ns", "idle_pct",
    "operations", "launched_before_previous_ended",
)  # fmt: skip


def _step_rows(result: DeviceResult) -> list[dict[str, Any]]:
    s = result.steps
    return [
        {
            "process": result.device.process_name,
            "device": result.device.index,
            "step": int(s.number[i]),
            "found": s.found,
            "start_ns": int(s.start[i]),
            "end_ns": int(s.end[i]),
            "host_ns": int(s.host[i]),
            "device_ns": int(s.device[i]),
            "idle_ns": int(s.idle[i]),
            "idle_pct": round(percent(int(s.idle[i]), int(s.idle[i] + s.device[i])), 4),
            "operations": int(s.operations[i]),
            "launched_before_previous_ended": bool(s.early[i]),
        }
        for i in range(len(s))
    ]
