"""One mode of a run: its recording, its figures, and how long its requests took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from msgspec import UNSET

from idlescope.analysis.drawn import Drawn
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.intervals import percent
from idlescope.analysis.latency import latencies
from idlescope.analysis.notebook import shown
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.roofline import achieved_pct
from idlescope.engine.requests import Finish, Request
from idlescope.experiment.document import ModeSummary, Percentiles
from idlescope.experiment.modes import Mode
from idlescope.experiment.profiled import Profiled
from idlescope.hardware.gpus import GPU
from idlescope.trace.model import Trace

MODE_COLUMNS = ("", "total", "steps", "tokens/s", "idle", "idle per step")


@dataclass(frozen=True, repr=False)
class ModeRun(Drawn):
    """One mode's recording and what it shows."""

    mode: Mode
    trace: Trace
    analysis: Analysis
    total_ns: int  # from the first scheduling to the last update
    tokens: int
    finished: tuple[Request, ...]
    interrupted: bool
    profiled: Profiled | None = None

    def __repr__(self) -> str:
        step_count = f"{len(self.result.steps):,} steps"
        idle_share = f"idle {self.result.idle_pct:.2f} %"
        return f"<{self.mode}: {time_text(self.total_ns)}, {step_count}, {idle_share}>"

    def row(self) -> list[str]:
        """Return the cells of MODE_COLUMNS."""
        return [
            self.mode.adjective.lower(),
            time_text(self.total_ns),
            f"{len(self.result.steps):,}",
            f"{self.tokens / (self.total_ns / 1e9):,.0f}",
            f"{self.result.idle_pct:.2f} %",
            f"{self.idle_ms_per_step:.3f} ms",
        ]

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the verdict on the device, and its figures."""
        return shown(self.result.verdict.text, MODE_COLUMNS, [self.row()])

    @property
    def result(self) -> DeviceResult:
        """Return the figures of the run's one device."""
        return self.analysis.results[0]

    def summary(self, gpu: GPU | None) -> ModeSummary:
        """Return the mode's entry of summary.json.

        Its roofline is that of `gpu`, where it is known.
        """
        run_steps, occupancy = self.result.steps, self.result.occupancy
        window_ns, total_s = occupancy.window_ns, self.total_ns / 1e9
        roofline_pct = achieved_pct(self.result.operations, window_ns, gpu) if gpu else None
        return ModeSummary(
            steps=len(run_steps),
            requests=len(self.finished),
            tokens=self.tokens,
            total_s=total_s,
            tokens_per_s=self.tokens / total_s,
            active_pct=100.0 * occupancy.active_ns / window_ns,
            compute_pct=100.0 * occupancy.compute_ns / window_ns,
            idle_ms_per_step=self.idle_ms_per_step,
            host_ms_per_step=float(np.mean(run_steps.host)) / 1e6,
            device_ms_per_step=float(np.mean(run_steps.device)) / 1e6,
            roofline_pct=roofline_pct,
            window_s=window_ns / 1e9,
            idle_ns=occupancy.idle_ns,
            cause_ns=self.result.gaps.totals(),
            host_ns=self.result.host_ns,
            preemptions=sum(request.preemptions for request in self.finished),
            interrupted=self.interrupted,
            profiled=UNSET if self.profiled is None else self.profiled.document(),
            **self.latencies(),
        )

    def latencies(self) -> dict[str, Percentiles | None]:
        """Return the latency figures of the requests that ended by themselves.

        None of what no request has.
        """
        latency_columns = [
            (
                request.arrival_ns,
                request.first_token_ns,
                request.finished_ns,
                len(request.output),
            )
            for request in self.finished
            if request.finish is not Finish.CANCELLED
        ]
        columns = np.array(latency_columns, np.int64).reshape(-1, 4).T
        return {
            latency_name: None if figures is None else Percentiles(**figures)
            for latency_name, figures in latencies(*columns).items()
        }

    @property
    def idle_ms_per_step(self) -> float:
        """Return idle per step without pauses and without that for want of requests, ms."""
        return (self.result.idle_per_step_ns or 0.0) / 1e6

    @property
    def no_demand_ns(self) -> int:
        """Return how long the device was idle for want of requests."""
        return self.result.host_ns.get(NO_DEMAND, 0)

    @property
    def no_demand_pct(self) -> float:
        """Return the same as a share of the window, per cent."""
        return percent(self.no_demand_ns, self.result.occupancy.window_ns)

    @property
    def idle_with_work_pct(self) -> float:
        """Return idle as a share of the time in which there were requests, per cent."""
        occupancy = self.result.occupancy
        with_work_ns = occupancy.window_ns - self.no_demand_ns
        return percent(occupancy.idle_ns - self.no_demand_ns, with_work_ns)

    @property
    def host_is_longer(self) -> bool:
        """Return whether the host works for its steps for longer than the device."""
        run_steps = self.result.steps
        return int(run_steps.host.sum()) > int(run_steps.device.sum())


def time_text(ns: int) -> str:
    """Return the length of a run in words."""
    return f"{ns / 1e9:.1f} s" if ns >= 1e9 else f"{ns / 1e6:.1f} ms"
