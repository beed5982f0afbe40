"""What a trace's steps would take otherwise: batched asynchronously, with a faster host or GPU, without a phase.

The costs of each step (`costs.py`) go through a pipeline of another depth (`replay.py`), in batches that form anew
where the trace says which requests there were (`rebatch.py`). The steps of one that does not are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from idlescope.analysis import costs as costs_of
from idlescope.analysis import rebatch
from idlescope.analysis.batching import ASYNCHRONOUS, SERIALISED, SYNCHRONOUS
from idlescope.analysis.costs import HOST, RECORDED, Measured, StepCosts
from idlescope.analysis.intervals import percent
from idlescope.analysis.replay import replay
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.work import steps_work
from idlescope.errors import ConfigError, TraceError
from idlescope.trace.model import Bool, Int64, Trace

CONFIDENCE = 1.96  # standard deviations: 95 % of a normal distribution
FAITHFUL = 0.1  # a replay of the trace as it is that is off by more says that the model does not hold for it
WORTH = 0.005  # of the time: a change that saves less is called none
MAX_DEPTH = 64
MAX_FACTOR = 1000.0
GRAPH_LAUNCH_NS = 6_700  # of the host: replay of a CUDA graph of 1,500 nodes, measured on an H200
DEPTHS = {"sync": 1, "async": 2}  # what a recording of `idlescope run` says of itself
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
            raise ConfigError(f"--depth is {self.depth}: give 1 (synchronous) to {MAX_DEPTH} steps in flight")
        for name in ("host", "device"):
            if not 0.0 <= (value := getattr(self, name)) <= MAX_FACTOR:
                raise ConfigError(f"--{name} is {value}: give a factor from 0 to {MAX_FACTOR:.0f}, such as 0.5")

    def text(self) -> str:
        """Return what is different, in words."""
        said = [IN_WORDS.get(self.depth, f"{self.depth} in flight")]
        said += [f"{name} × {f:g}" for name, f in (("host", self.host), ("device", self.device)) if f != 1.0]
        said += [word for word, on in (("graphs", self.graphs), ("copies pinned", self.pinned)) if on]
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
        return self.tokens / (self.total_ns / 1e9) if self.tokens is not None and self.total_ns else None


@dataclass(frozen=True)
class Lever:
    """One change on top of what was asked for, and what it makes of it."""

    name: str
    predicted: Prediction


class Replays:
    """The steps of one device, to be replayed under any `WhatIf`. Raises TraceError where that cannot be told.

    Of a recording the times are those of the whole run. A trace is a piece of a longer one: what its steps take is
    counted without filling and draining the pipeline, which a longer run does only once.
    """

    def __init__(self, trace: Trace, result: DeviceResult) -> None:
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

    def _depth(self, trace: Trace, result: DeviceResult) -> int | None:
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
        return Prediction(total, total, total, m.step_ns, _idle_pct(self.costs, m.step_ns), n, self.tokens)

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
        return Prediction(total, max(0, total - margin), total + margin, played.step_ns, idle, n, self.tokens)

    def _changed(self, what: WhatIf) -> StepCosts:
        """Return the costs of the steps under other circumstances."""
        c, columns = self.costs, {name: getattr(self.costs, name) for name in HOST}
        gone = [self.measured.pinned()] if what.pinned else []
        gone += [self.measured.phase(what.without)] if what.without is not None else []
        for free in gone:
            columns = {name: np.clip(values - free[name], 0, None) for name, values in columns.items()}
        if what.graphs:
            eager = self.measured.eager
            columns["issue"] = np.where(eager, np.minimum(columns["issue"], GRAPH_LAUNCH_NS), columns["issue"])
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
    other = np.convolve(prompts, np.ones(3), "same")[1:] > 0  # one with a prompt makes those beside it differ, too
    differences = np.diff(np.diff(end))[~(other[1:] | other[:-1])]
    return float(np.std(differences)) / np.sqrt(2) if differences.size > 1 else 0.0


def _idle_pct(costs: StepCosts, step_ns: float) -> float:
    """Return the share of the time in which no kernel runs, from the end of the first step's to that of the last."""
    return max(0.0, 100.0 - percent(int(costs.kernels[1:].sum()), round(step_ns * (len(costs) - 1))))


def _times(values: Int64, factor: float) -> Int64:
    return values if factor == 1.0 else np.rint(values * factor).astype(np.int64)


def _tokens(trace: Trace, result: DeviceResult) -> int | None:
    """Return the tokens that the steps yielded; None where the trace does not say."""
    samples, name = trace.samples, trace.name_index("tokens")
    if result.steps.found == RECORDED and name >= 0:
        of_steps = (samples.name == name) & np.isin(samples.time, result.steps.end)
        return int(samples.value[of_steps].sum())
    work = steps_work(trace, result)
    return None if work is None or not work.known.all() else int(work.sampled.sum())


@dataclass(frozen=True)
class Forecast:
    """What one device's trace was, and what it would be."""

    result: DeviceResult
    depth: int | None  # steps in flight as recorded; None where a wait keeps an asynchronous loop from being one
    what: WhatIf
    recorded: Prediction
    predicted: Prediction
    bound: Prediction  # the same with a host that costs nothing
    levers: tuple[Lever, ...]  # each on top of what was asked for
    exposed_ns: float  # a step: idle time that the step's work ended, on average
    host_bound: tuple[int, ...]  # numbers of the steps whose host work exceeds their device time

    def to_json(self) -> dict[str, Any]:
        """Return the device's entry of `idlescope predict --json`."""
        d = self.result.device
        return {
            "process": d.process_name, "device": d.index, "name": d.name, "steps_found_by": self.result.steps.found,
            "recorded_depth": self.depth, "what": self.what.text(), "recorded": self.recorded.to_json(),
            "predicted": self.predicted.to_json(), "host_free": self.bound.to_json(),
            "levers": [{"name": lever.name, **lever.predicted.to_json()} for lever in self.levers],
            "exposed_ms_per_step": self.exposed_ns / 1e6, "host_bound_steps": list(self.host_bound),
            "text": self.text(),
        }  # fmt: skip

    def short(self) -> dict[str, Any]:
        """Return the device's `predicted` of `idlescope analyze --json`."""
        return {
            "recorded_depth": self.depth, "depth": self.what.depth, **self.predicted.to_json(),
            "exposed_ms_per_step": self.exposed_ns / 1e6, "host_bound_steps": len(self.host_bound), "text": self.text(),
        }  # fmt: skip

    def text(self) -> str:
        """Return what it amounts to, in a few sentences."""
        was, now = self.recorded, self.predicted
        free = f"with a host that costs nothing {self.bound.step_ns / 1e6:.2f} ms."
        said = [self._exposed_text()] if (self.depth or 0) > 1 else []
        if said and self.what == WhatIf(self.depth or 0):
            said.append(f"A step takes {was.step_ns / 1e6:.2f} ms; {free}")
        else:
            less = now.less_than(was)
            change = f"{abs(100 * less):.1f} % {'less' if less > 0 else 'more'}" if abs(less) >= WORTH else "no change"
            change += f", ± {percent(now.high_ns - now.total_ns, now.total_ns):.2f} %"
            said.append(
                f"{self.what.text().capitalize()}: {now.step_ns / 1e6:.2f} ms a step instead of "
                f"{was.step_ns / 1e6:.2f} ({change}); {free}"
            )
        saving = [(lever.predicted.less_than(now), lever.name) for lever in self.levers]
        worth = _listed([f"{name} {100 * by:.1f} %" for by, name in sorted(saving, reverse=True) if by >= WORTH], "and")
        nothing = _listed([name for by, name in saving if by < WORTH], "or")
        if saving:
            savings = filter(None, [worth, f"none from {nothing}" if nothing else ""])
            said.append(f"Further savings: {'; '.join(savings)}.")
        return " ".join(said)

    def _exposed_text(self) -> str:
        """Return what an asynchronous trace still exposes, and where its host works longer than the device."""
        n, slow = self.recorded.steps, self.host_bound
        where = f"in {len(slow)} of {n} steps the host works longer than the device computes"
        if not slow:
            where = "in no step does the host work longer than the device computes"
        elif len(slow) < n:
            where += f" ({_numbers(slow)})"
        return f"Asynchronous already: {self.exposed_ns / 1e6:.3f} ms a step is still exposed; {where}."


def _listed(words: Sequence[str], last: str) -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _numbers(numbers: Sequence[int], shown: int = 5) -> str:
    more = f" and {len(numbers) - shown} more" if len(numbers) > shown else ""
    return f"step{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:shown]))}{more}"


def forecast(trace: Trace, result: DeviceResult, what: WhatIf | None = None, levers: bool = True) -> Forecast:
    """Return what one device would do. Raises TraceError where its trace cannot tell, ConfigError for wrong phases."""
    replays, what = Replays(trace, result), what or WhatIf()
    steps = result.steps
    slow = replays.costs.host > replays.costs.compute
    return Forecast(
        result=result,
        depth=replays.depth,
        what=what,
        recorded=replays.recorded,
        predicted=replays.predict(what),
        bound=replays.predict(replace(what, host=0.0)),
        levers=tuple(_levers(replays, what)) if levers else (),
        exposed_ns=float(np.mean(steps.idle[1:])),
        host_bound=tuple(steps.number[replays.measured.whole][slow].tolist()),
    )


def _levers(replays: Replays, what: WhatIf) -> list[Lever]:
    """Return what each further change would make of it: those that there is something of in the trace."""
    changes = {
        "host twice as fast": replace(what, host=what.host / 2),
        "GPU twice as fast": replace(what, device=what.device / 2),
    }
    if what.depth < MAX_DEPTH:
        changes[f"{what.depth + 1} in flight"] = replace(what, depth=what.depth + 1)
    if not what.graphs and replays.measured.eager.any():
        changes["CUDA graphs"] = replace(what, graphs=True)
    if not what.pinned and any(values.any() for values in replays.measured.pinned().values()):
        changes["pinned copies"] = replace(what, pinned=True)
    if what.without is None and (largest := replays.measured.largest_phase()) is not None:
        changes[f"no {largest}"] = replace(what, without=largest)
    return [Lever(name, replays.predict(change)) for name, change in changes.items()]


def expected(trace: Trace, result: DeviceResult) -> Forecast | None:
    """Return what asynchronous batching would do for a device, levers left out; None where its trace cannot tell."""
    try:
        return forecast(trace, result, levers=False)
    except TraceError:
        return None


def asynchronous(trace: Trace, result: DeviceResult) -> Prediction | None:
    """Predict asynchronous batching from a synchronous trace; None where it cannot tell, or is asynchronous already."""
    made = expected(trace, result)
    return made.predicted if made is not None and made.depth != WhatIf().depth else None


def predict(analysis: Analysis, **what: Any) -> tuple[Forecast, ...]:
    """Return what each device of an analysed trace would do; `what` are the fields of `WhatIf`.

    Raises TraceError where a device's trace cannot tell, ConfigError for what cannot be asked.
    """
    return tuple(forecast(analysis.trace, result, WhatIf(**what)) for result in analysis.results)
