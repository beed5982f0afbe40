"""What a run returns: the recording of each mode, its figures, and what they say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.intervals import percent
from idlescope.analysis.latency import latencies
from idlescope.analysis.prediction.outcome import Outcome
from idlescope.analysis.prediction.predict import asynchronous
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.roofline import achieved_pct
from idlescope.engine.requests import Finish, Request
from idlescope.experiment.config import TRANSFORMERS, RunConfig
from idlescope.experiment.device_choice.base import DeviceChoice
from idlescope.experiment.document import (
    SCHEMA,
    ModeSummary,
    Percentiles,
    RunDevice,
    Summary,
)
from idlescope.experiment.environment import environment
from idlescope.experiment.modes import Mode
from idlescope.experiment.profiled import Profiled
from idlescope.hardware.gpus import GPU
from idlescope.trace.model import Trace

WORTH_SAYING = 1.005  # a smaller speed-up is called little
# Idle time that is left in asynchronous batching is host work that no overlap hides.
HOST_BOUND_IDLE_PCT = 5.0


@dataclass(frozen=True, repr=False)
class ModeRun:
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
        return f"<{self.mode}: {_time(self.total_ns)}, {step_count}, {idle_share}>"

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
            idle_ms_per_step=occupancy.idle_ns / len(run_steps) / 1e6,
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


@dataclass(frozen=True, repr=False)
class Run:
    """What `run` returns: every mode that was run, and how they compare.

    A notebook shows it as a small table.
    """

    config: RunConfig
    choice: DeviceChoice
    device: RunDevice
    modes: dict[str, ModeRun]  # by "sync" and "async"
    notes: tuple[str, ...]

    @property
    def gpu(self) -> GPU | None:
        """Return the GPU whose peaks the rooflines are drawn with.

        None where they are not known.
        """
        return self.choice.gpu

    @property
    def interrupted(self) -> bool:
        """Return whether the run was stopped before its end."""
        if set(self.modes) != set(self.config.modes):
            return True
        return any(run.interrupted for run in self.modes.values())

    @property
    def speedup(self) -> float | None:
        """Return synchronous time over asynchronous time.

        None unless both modes ran to their end.
        """
        if self.interrupted or set(self.modes) != set(Mode):
            return None
        return self.modes[Mode.SYNC].total_ns / self.modes[Mode.ASYNC].total_ns

    def predicted(self) -> Outcome | None:
        """Return what the synchronous run predicts of the asynchronous one.

        None unless the former ran to its end, with all requests there at its start: a replay does
        not wait for others. None also where transformers computes in the host's own call, so that
        nothing can overlap.
        """
        sync_run = self.modes.get(Mode.SYNC)
        if sync_run is None or sync_run.interrupted or self.config.demand.open:
            return None
        if self.config.engine == TRANSFORMERS and not self.choice.overlaps:
            return None
        return asynchronous(sync_run.result)

    def verdict(self) -> str:
        """Return what the run shows, in one sentence."""
        on_device = f"on {'' if self.device.measured else 'a '}{self.device.name}"
        if self.interrupted:
            return f"Stopped early {on_device}: the figures cover only the steps that ran."
        if self.speedup is None:
            return self._verdict_of_one(on_device)
        sync_run, async_run = self.modes[Mode.SYNC], self.modes[Mode.ASYNC]
        change = (
            f"{_time(sync_run.total_ns)} to {_time(async_run.total_ns)}, "
            f"idle {sync_run.result.idle_pct:.2f} % to {async_run.result.idle_pct:.2f} %"
        )
        device_noun = self.choice.noun
        if self.speedup < WORTH_SAYING:
            little_gained = self._why_little(device_noun)
            return f"Asynchronous batching changes little ({change}) {on_device}: {little_gained}."
        further_note = ""
        if self._host_bound():
            further_note = (
                f"; the host still needs longer for a step than the {device_noun}"
            )
        faster = f"{self.speedup:.3f} times faster"
        return f"Asynchronous batching is {faster} ({change}) {on_device}{further_note}."

    def _verdict_of_one(self, where: str) -> str:
        """Return the verdict where only one mode was run."""
        ((mode_name, mode_run),) = self.modes.items()
        idle_note = f"with the {self.choice.noun} idle {mode_run.result.idle_pct:.2f} %"
        adjective = Mode(mode_name).adjective
        return f"{adjective} batching took {_time(mode_run.total_ns)} {idle_note} {where}."

    def _why_little(self, noun: str) -> str:
        """Return why asynchronous batching changes little."""
        if self._host_bound():
            return f"the host needs longer for a step than the {noun}"
        if self._no_demand_pct() > HOST_BOUND_IDLE_PCT:
            return f"the {noun} waited for requests to arrive"
        return f"the {noun} hardly waited for the host"

    def _no_demand_pct(self) -> float:
        """Return how much of the asynchronous window was idle for want of requests, per cent."""
        result = self.modes[Mode.ASYNC].result
        return percent(result.host_ns.get(NO_DEMAND, 0), result.occupancy.window_ns)

    def _host_bound(self) -> bool:
        """Return whether the asynchronous mode is idle for more than want of requests."""
        idle_pct = self.modes[Mode.ASYNC].result.idle_pct
        return idle_pct - self._no_demand_pct() > HOST_BOUND_IDLE_PCT

    @cached_property
    def document(self) -> Summary:
        """Return summary.json, typed; it is built once."""
        predicted = self.predicted()
        return Summary(
            schema=SCHEMA,
            config=asdict(self.config),
            device=self.device,
            environment=environment(self.device.measured, self.config.engine),
            modes={
                str(mode_name): run.summary(self.gpu)
                for mode_name, run in self.modes.items()
            },
            speedup=self.speedup,
            predicted=None if predicted is None else predicted.document(),
            verdict=self.verdict(),
            warnings=list(self.notes),
        )

    def summary(self) -> dict[str, Any]:
        """Return summary.json (`idlescope schema summary` describes it)."""
        document: dict[str, Any] = msgspec.to_builtins(self.document)
        return document

    def __repr__(self) -> str:
        mode_texts = ", ".join(map(repr, self.modes.values()))
        return (
            f"<Run of {self.config.architecture.name} on {self.device.name}: {mode_texts}>"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the verdict, and a row per mode."""
        html_rows = "".join(_html_row(run) for run in self.modes.values())
        html_head = "<th></th><th>total</th><th>steps</th><th>tokens/s</th><th>idle</th>"
        html_table = f"<table><tr>{html_head}</tr>{html_rows}</table>"
        return f"<p>{escape(self.verdict())}</p>{html_table}"


def _html_row(run: ModeRun) -> str:
    row_cells = (
        run.mode,
        _time(run.total_ns),
        f"{len(run.result.steps):,}",
        f"{run.tokens / (run.total_ns / 1e9):,.0f}",
        f"{run.result.idle_pct:.2f} %",
    )
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row_cells)}</tr>"


def _time(ns: int) -> str:
    return f"{ns / 1e9:.1f} s" if ns >= 1e9 else f"{ns / 1e6:.1f} ms"
