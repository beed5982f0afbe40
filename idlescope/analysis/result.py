"""What an analysis found: one typed result for the terminal, the report, pandas and JSON alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from idlescope.analysis.idle import causes
from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.roofline import Roofline
from idlescope.analysis.steps.host_phases import HostPhases, host_phases
from idlescope.trace.model import Trace
from idlescope.trace.names.span_names import SpanNames

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1


@dataclass(frozen=True)
class DeviceResult(MeasuredDevice):
    """What one device did, what it would do with asynchronous batching, and how well it was used."""

    prediction: Prediction | None  # of asynchronous batching; None where it cannot be told
    roofline: Roofline | None  # None where the GPU or the work of its steps is not known

    def to_json(self) -> dict[str, Any]:
        """Return the device's entry of `analyze --json`."""
        o, (short, short_ns) = self.occupancy, self.short_gaps
        return {
            "process": self.device.process_name,
            "device": self.device.index,
            "name": self.device.name,
            "identity": self.device.identity,
            "operations": self.operations_inside,
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
            "predicted": None if self.prediction is None else self.prediction.short(),
            "roofline": None if self.roofline is None else self.roofline.to_json(),
        }  # fmt: skip


@dataclass(frozen=True)
class Analysis:
    """What `analyze` found; as typed results, as JSON, and as pandas DataFrames with times in integer nanoseconds."""

    source: dict[str, Any]
    phases: SpanNames  # what its span names mean
    trace: Trace
    results: tuple[DeviceResult, ...]
    warnings: tuple[str, ...]

    @cached_property
    def host_phases(self) -> tuple[HostPhases, ...]:
        """Return the steps and phases of each process whose spans are known."""
        return host_phases(self.trace, self.phases)

    @property
    def engine(self) -> str:
        """Return whose span names the trace holds; empty where none is known."""
        return self.phases.engine

    def to_json(self) -> dict[str, Any]:
        """Return the schema of `idlescope analyze --json` (README.md, "JSON")."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "engine": self.engine or None,
            "devices": [d.to_json() for d in self.results],
            "steps": [row for d in self.results for row in _step_rows(d)],
            "phases": [phases.to_json() for phases in self.host_phases],
            "warnings": list(self.warnings),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row a device with the scalar figures of `to_json`, and `<cause>_ns` for each cause."""
        import pandas as pd

        rows = [d.to_json() for d in self.results]
        scalar = (int, float, str)
        frame = pd.DataFrame(
            [{k: v for k, v in row.items() if isinstance(v, scalar)} for row in rows]
        )
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

        return pd.DataFrame(
            [row for d in self.results for row in _step_rows(d)], columns=list(_STEP_COLUMNS)
        )

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
            columns |= {
                "start_ns": d.gaps.start[kept],
                "end_ns": d.gaps.end[kept],
                "length_ns": d.gaps.length[kept],
            }
            columns |= {f"{cause}_ns": getattr(d.gaps, cause)[kept] for cause in causes.CAUSES}
            columns["step"] = np.where(none, -1, d.step[operation])
            columns["ended_by"] = names[np.where(none, -1, d.operations.name[operation])]
            made = self.trace.calls.take(call[call >= 0])
            for key, table, codes in (
                ("launched_by", names, made.name),
                ("thread", threads, made.thread),
            ):
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
        return pd.DataFrame(
            rows, columns=["process", "device", "doing", "ns", "pct_of_host", "pct_of_idle"]
        )


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
