"""What a trace's steps would take otherwise: batched asynchronously, with a faster host or GPU, without a phase.

The costs of each step (`costs.py`) go through a pipeline of another depth (`replay.py`), in batches that form anew
where the trace says which requests there were (`rebatch.py`). The steps of one that does not are taken as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction import rebatch
from idlescope.analysis.prediction import step_costs as costs_of
from idlescope.analysis.prediction.replay import replay
from idlescope.analysis.prediction.step_costs import HOST, Measured, StepCosts
from idlescope.analysis.steps.batching import ASYNCHRONOUS, SERIALISED, SYNCHRONOUS
from idlescope.analysis.steps.find import RECORDED
from idlescope.analysis.steps.stated_work import steps_work
from idlescope.errors import ConfigError, TraceError
from idlescope.hardware.latencies import GRAPH_LAUNCH_NS
from idlescope.trace.model import Trace
from idlescope.trace.names.own_engine import DEPTHS, TOKENS
from idlescope.trace.table import Bool, Int64

CONFIDENCE = 1.96  # standard deviations: 95 % of a normal distribution
FAITHFUL = 0.1  # a replay of the trace as it is that is off by more says that the model does not hold for it
MAX_DEPTH = 64
MAX_FACTOR = 1000.0
IN_WORDS = {1: "synchronous", 2: "asynchronous"}


@dataclass(frozen=True)
class WhatIf:
    """What is to be different; checked when made. Raises ConfigError."""

    depth: int = 2  # steps in flight: 1 is synchronous, 2 asynchronous batching
    host: float = 1.0  # factor of the host's work
    device: float = 1.0  # factor of the device's compute time
    graphs: bool = False  # steps that launch their kernels one by one launch one graph
    pinned: bool = False  # copies of memory that is not pinned cost the host nothing
    without: str | None = None  # a phase, span or range of the host that costs nothing

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= MAX_DEPTH:
            raise ConfigError(
                f"--depth is {self.depth}: give 1 (synchronous) to {MAX_DEPTH} steps in flight"
            )
        for name in ("host", "device"):
            if not 0.0 <= (value := getattr(self, name)) <= MAX_FACTOR:
                raise ConfigError(
                    f"--{name} is {value}: give a factor from 0 to {MAX_FACTOR:.0f}, such as 0.5"
                )

    def text(self) -> str:
        """Return what is different, in words."""
        said = [IN_WORDS.get(self.depth, f"{self.depth} in flight")]
        said += [
            f"{name} × {f:g}"
            for name, f in (("host", self.host), ("device", self.device))
            if f != 1.0
        ]
        said += [
            word for word, on in (("graphs", self.graphs), ("copies pinned", self.pinned)) if on
        ]
        return ", ".join(said + ([f"no {self.without}"] if self.without else []))


@dataclass(frozen=True)
class Prediction:
    """Predicted time of all steps, ns; the interval is what the variation from step to step allows, at 95 %."""

    total_ns: int
    low_ns: int
    high_ns: int
    step_ns: float  # from one step to the next on the device
    compute_idle_pct: float  # share of the time in which no kernel runs, filling and draining the pipeline left out
    steps: int
    tokens: int | None  # of all steps; None where the trace does not say

    def to_json(self) -> dict[str, Any]:
        """Return the `predicted` entry of summary.json."""
        return {
            "total_s": self.total_ns / 1e9, "low_s": self.low_ns / 1e9, "high_s": self.high_ns / 1e9,
            "steps": self.steps, "step_ms": self.step_ns / 1e6, "compute_idle_pct": self.compute_idle_pct,
            "tokens_per_s": self.tokens_per_s,
        }  # fmt: skip

    def less_than(self, other: Prediction) -> float:
        """Return the share of the other's time that this one saves; negative where it takes longer."""
        return 1.0 - self.total_ns / other.total_ns if other.total_ns else 0.0

    @property
    def tokens_per_s(self) -> float | None:
        """Return the tokens a second; None where the trace does not say how many there were."""
        return (
            self.tokens / (self.total_ns / 1e9)
            if self.tokens is not None and self.total_ns
            else None
        )


class Replays:
    """The steps of one device, to be replayed under any `WhatIf`. Raises TraceError where that cannot be told.

    Of a recording the times are those of the whole run. A trace is a piece of a longer one: what its steps take is
    counted without filling and draining the pipeline, which a longer run does only once.
    """

    def __init__(self, trace: Trace, result: MeasuredDevice) -> None:
        self.whole_run = result.steps.found == RECORDED
        if self.whole_run and rebatch.arriving(trace):
            raise TraceError(
                f"cannot tell what device {result.device.index} would do: requests arrived during the run, and which "
                "steps there are depends on when; record one with --arrival closed"
            )
        self.measured: Measured = costs_of.measure(trace, result)
        self.costs: StepCosts = self.measured.costs
        self.depth = self._depth(trace, result)
        anew = self.whole_run and self.depth == 1 and self.measured.whole.all()
        self.requests = rebatch.requests(trace, result.steps.end) if anew else None
        self.tokens = _tokens(trace, result)

    def _depth(self, trace: Trace, result: MeasuredDevice) -> int | None:
        """Return how deep a pipeline the trace shows; None where a wait keeps it from being what it is meant to be."""
        kind, step = result.batching.kind, self.measured.step_ns
        if kind == SERIALISED:
            return None
        known = {SYNCHRONOUS: (1,), ASYNCHRONOUS: (2,)}.get(kind, (1, 2))
        if trace.meta.get("mode") in DEPTHS:
            known = (DEPTHS[trace.meta["mode"]],)
        for depth in known:
            replayed = replay(self.costs, depth).step_ns
            if abs(replayed - step) <= FAITHFUL * step:
                return depth
        raise TraceError(
            f"cannot tell what device {result.device.index} would do: its steps replayed as they are come out at "
            f"{replayed / 1e6:.3f} ms each and took {step / 1e6:.3f} ms; they wait for something that the trace does "
            "not show"
        )

    @property
    def recorded(self) -> Prediction:
        """Return what was measured, in the same terms."""
        m, n = self.measured, len(self.costs)
        total = m.total_ns if self.whole_run else round(m.step_ns * n)
        return Prediction(
            total, total, total, m.step_ns, _idle_pct(self.costs, m.step_ns), n, self.tokens
        )

    def predict(self, what: WhatIf) -> Prediction:
        """Return what the steps would take."""
        costs, needs, prompts = self._changed(what), None, np.zeros(len(self.costs), np.bool_)
        if self.requests is not None:
            costs, needs, prompts = rebatch.rebatch(costs, self.requests, what.depth)
        played = replay(costs, what.depth, needs)
        n = len(costs)
        margin = round(CONFIDENCE * _spread_ns(played.end, prompts) * np.sqrt(n))
        total = played.total_ns if self.whole_run else round(played.step_ns * n)
        idle = _idle_pct(costs, played.step_ns)
        return Prediction(
            total, max(0, total - margin), total + margin, played.step_ns, idle, n, self.tokens
        )

    def _changed(self, what: WhatIf) -> StepCosts:
        """Return the costs of the steps under other circumstances."""
        c, columns = self.costs, {name: getattr(self.costs, name) for name in HOST}
        gone = [self.measured.pinned()] if what.pinned else []
        gone += [self.measured.phase(what.without)] if what.without is not None else []
        for free in gone:
            columns = {
                name: np.clip(values - free[name], 0, None) for name, values in columns.items()
            }
        if what.graphs:
            eager = self.measured.eager
            columns["issue"] = np.where(
                eager, np.minimum(columns["issue"], GRAPH_LAUNCH_NS), columns["issue"]
            )
        columns = {name: _times(values, what.host) for name, values in columns.items()}
        saved = c.compute - _times(c.compute, what.device)
        return replace(
            c, **columns, compute=c.compute - saved, kernels=_times(c.kernels, what.device),
            finish=c.finish - np.minimum(saved, np.maximum(c.finish, 0)),
        )  # fmt: skip


def _spread_ns(end: Int64, prompts: Bool) -> float:
    """Return the standard deviation of a step's time, of the steps that end at these times; prompts are no chance.

    Neighbouring steps differ by chance, not by context: half of their difference's variance is that of one step.
    """
    other = (
        np.convolve(prompts, np.ones(3), "same")[1:] > 0
    )  # one with a prompt makes those beside it differ, too
    differences = np.diff(np.diff(end))[~(other[1:] | other[:-1])]
    return float(np.std(differences)) / np.sqrt(2) if differences.size > 1 else 0.0


def _idle_pct(costs: StepCosts, step_ns: float) -> float:
    """Return the share of the time in which no kernel runs, from the end of the first step's to that of the last."""
    return max(
        0.0, 100.0 - percent(int(costs.kernels[1:].sum()), round(step_ns * (len(costs) - 1)))
    )


def _times(values: Int64, factor: float) -> Int64:
    return values if factor == 1.0 else np.rint(values * factor).astype(np.int64)


def _tokens(trace: Trace, result: MeasuredDevice) -> int | None:
    """Return the tokens that the steps yielded; None where the trace does not say."""
    samples, name = trace.samples, trace.name_index(TOKENS)
    if result.steps.found == RECORDED and name >= 0:
        of_steps = (samples.name == name) & np.isin(samples.time, result.steps.end)
        return int(samples.value[of_steps].sum())
    work = steps_work(trace, result)
    return None if work is None or not work.known.all() else int(work.sampled.sum())
