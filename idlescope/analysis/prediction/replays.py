"""The steps of one device, ready to be replayed under other circumstances.

The costs of each step (step_costs.py) go through a pipeline of another depth (replay.py), in
batches that form anew where the trace says which requests there were (rebatch.py). Steps of a
trace that does not say are taken as they are.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.device_costs import measure_costs
from idlescope.analysis.prediction.host_work import HostWork
from idlescope.analysis.prediction.interval import margin_ns
from idlescope.analysis.prediction.named_work import blocking_copy_columns, phase_columns
from idlescope.analysis.prediction.outcome import Outcome
from idlescope.analysis.prediction.profiler_cost import (
    profiler_columns,
    recorded_by_torch,
    unprofiled_is_known,
    without_profiler,
)
from idlescope.analysis.prediction.rebatch import Rebatched, rebatch
from idlescope.analysis.prediction.recorded_steps import recorded_steps
from idlescope.analysis.prediction.replay import replay
from idlescope.analysis.prediction.requests import arriving, recorded_requests
from idlescope.analysis.prediction.step_costs import HOST_COLUMNS, StepCosts
from idlescope.analysis.prediction.what_if import WhatIf
from idlescope.analysis.steps.batching import ASYNCHRONOUS, SERIALISED, SYNCHRONOUS
from idlescope.analysis.steps.find import RECORDED
from idlescope.analysis.steps.stated_work import steps_work
from idlescope.errors import TraceError
from idlescope.hardware.latencies import GRAPH_LAUNCH_NS
from idlescope.trace.model import Trace
from idlescope.trace.names.own_engine import DEPTHS, TOKENS
from idlescope.trace.table import Bool, Int64

# A replay of the trace as it is that is off by more says that the model does not hold for it.
FAITHFUL = 0.1
# A host that waits for other ranks for so much of the time has its pace from them.
PACED_BY_OTHERS = 0.1


class Replays:
    """The steps of one device, to be replayed under any `WhatIf`.

    Raises TraceError where the trace cannot tell. Of a recording the times are those of the whole
    run. A trace is a piece of a longer run: what its steps take is counted without filling and
    draining the pipeline, which a longer run does only once.
    """

    def __init__(self, trace: Trace, result: MeasuredDevice) -> None:
        self.whole_run = result.steps.found == RECORDED
        if self.whole_run and arriving(trace):
            raise TraceError(
                f"cannot tell what device {result.device.index} would do: requests arrived during "
                "the run, and which steps there are depends on when; record one with "
                "--arrival closed"
            )
        if result.spread.work_is_guessed:
            raise TraceError(
                f"cannot tell what device {result.device.index} would do: it idles for want of "
                "requests, which neither batching nor a quicker host gives it; record under load"
            )
        self.trace = trace
        self.result = result
        self.steps = recorded_steps(trace, result)
        self.host_work = HostWork(self.steps)
        self._refuse_others_pace()
        self.costs = measure_costs(self.host_work)
        self.depth = self._recorded_depth()
        self.unprofiled = self._unprofiled()
        if self.unprofiled is not None and unprofiled_is_known(result):
            self.costs = self.unprofiled
        self.tokens = _tokens(trace, result, self.steps.whole)
        # Batches form anew only where every recorded step is replayed, one at a time.
        complete = self.whole_run and self.depth == 1 and self.steps.whole.all()
        self.requests = recorded_requests(trace, result.steps.end) if complete else None

    @property
    def base(self) -> Outcome | None:
        """Return what the recorded steps take without the profiler.

        That is as known from elsewhere (`MeasuredDevice.unprofiled`), else as estimated from what
        was recorded. None where no profiler recorded them, or nothing tells.
        """
        if self.unprofiled is None or self.depth is None:
            return None
        return self._outcome(self.unprofiled, self.depth)

    def _refuse_others_pace(self) -> None:
        """Raise TraceError where the host waits so long for other ranks that they set its pace."""
        waited_ns = sum(int(column.sum()) for column in self.host_work.for_ranks.values())
        if waited_ns < PACED_BY_OTHERS * self.steps.total_ns:
            return
        per_step_ms = waited_ns / len(self.steps) / 1e6
        raise TraceError(
            f"cannot tell what device {self.result.device.index} would do: its host waits "
            f"{per_step_ms:.2f} ms per step for other ranks, which set its pace; predict theirs"
        )

    def _unprofiled(self) -> StepCosts | None:
        """Return what the recorded steps cost without the profiler; None where there was none."""
        known = self.result.unprofiled
        can_be_told = unprofiled_is_known(self.result) or recorded_by_torch(self.result)
        if self.depth is None or not can_be_told:
            return None
        step_ns = None if known is None else known.step_ms * 1e6
        added = profiler_columns(self.host_work)
        return without_profiler(self.costs, added, self.depth, step_ns)

    @property
    def recorded(self) -> Outcome:
        """Return what was measured, in the terms of a prediction."""
        step_ns, count = self.steps.step_ns, len(self.costs)
        return Outcome(
            total_ns=self.steps.total_ns if self.whole_run else round(step_ns * count),
            margin_ns=0,
            step_ns=step_ns,
            compute_idle_pct=_compute_idle_pct(self.costs, step_ns),
            steps=count,
            tokens=self.tokens,
        )

    def predict(self, what: WhatIf) -> Outcome:
        """Return what the steps would take.

        Raises ConfigError where `what.without` is no phase, span or range of the trace.
        """
        return self._outcome(self._changed_costs(what), what.depth)

    def _outcome(self, steps: StepCosts, depth: int) -> Outcome:
        costs, needs, prompts = self._batches(steps, depth)
        replayed = replay(costs, depth, needs)
        step_ns, count = replayed.step_ns, len(costs)
        total_ns = replayed.total_ns if self.whole_run else round(step_ns * count)
        modelled = self.trace.meta.measured is False
        return Outcome(
            total_ns=total_ns,
            margin_ns=margin_ns(replayed.end, prompts, total_ns, modelled=modelled),
            step_ns=step_ns,
            compute_idle_pct=_compute_idle_pct(costs, step_ns),
            steps=count,
            tokens=self.tokens,
        )

    def _batches(self, costs: StepCosts, depth: int) -> Rebatched:
        """Return the steps in batches as they form at a depth; as recorded where none are known."""
        if self.requests is not None:
            return rebatch(costs, self.requests, depth)
        no_needs = np.full(len(costs), -1, np.int64)
        return Rebatched(costs, no_needs, np.zeros(len(costs), np.bool_))

    def _recorded_depth(self) -> int | None:
        """Return how many steps the trace had in flight.

        Returns None where a wait keeps an asynchronous loop from being one. Raises TraceError where
        no depth reproduces the time that the steps took.
        """
        kind, driver = self.result.batching.kind, self.result.batching.driver
        if driver:
            raise TraceError(
                f"device {self.result.device.index} follows {driver}, which waits for the tokens "
                "of both: the prediction is that one's"
            )
        if kind == SERIALISED:
            return None
        depths = {SYNCHRONOUS: (1,), ASYNCHRONOUS: (2,)}.get(kind, (1, 2))
        if self.trace.meta.mode in DEPTHS:
            depths = (DEPTHS[self.trace.meta.mode],)
        recorded_ns = self.steps.step_ns
        for depth in depths:
            replayed_ns = replay(self.costs, depth).step_ns
            if abs(replayed_ns - recorded_ns) <= FAITHFUL * recorded_ns:
                return depth
        raise TraceError(
            f"cannot tell what device {self.result.device.index} would do: its steps replayed as "
            f"they are come out at {replayed_ns / 1e6:.3f} ms each and took "
            f"{recorded_ns / 1e6:.3f} ms; they wait for something that the trace does not show"
        )

    def _changed_costs(self, what: WhatIf) -> StepCosts:
        """Return what the steps would cost under other circumstances."""
        costs = self._changed_host(what)
        compute = _scaled(costs.compute, what.device)
        # What compute saves also comes off the time from the last launch to its end.
        saved = costs.compute - compute
        still_running = np.maximum(costs.finish, 0)
        return replace(
            costs,
            compute=compute,
            reach=_scaled(costs.reach, what.device),
            kernels=_scaled(costs.kernels, what.device),
            finish=costs.finish - np.minimum(saved, still_running),
        )

    def _changed_host(self, what: WhatIf) -> StepCosts:
        host = {name: getattr(self.costs, name) for name in HOST_COLUMNS}
        if what.depth > 1 and self.depth != 2:
            host = _beside_processes(host, self.host_work.for_processes)
        if what.pinned:
            copies = blocking_copy_columns(self.host_work)
            host = _without(host, copies)
        if what.without is not None:
            phase = phase_columns(self.host_work, what.without)
            host = _without(host, phase)
        if what.graphs:
            issue = host["issue"]
            one_launch = np.minimum(issue, GRAPH_LAUNCH_NS)
            # What waits for a part of itself is no one graph.
            at_once = self.steps.eager & (self.costs.reach == 0)
            host["issue"] = np.where(at_once, one_launch, issue)
        for_ranks = self.host_work.for_ranks
        scaled = {}
        for name, values in host.items():
            waited = np.minimum(for_ranks[name], values)
            scaled[name] = waited + _scaled(values - waited, what.host)
        return replace(self.costs, **scaled)


def _without(host: dict[str, Int64], free: dict[str, Int64]) -> dict[str, Int64]:
    """Return host columns less those of work that costs nothing any more."""
    return {name: np.clip(values - free[name], 0, None) for name, values in host.items()}


def _beside_processes(host: dict[str, Int64], waited: dict[str, Int64]) -> dict[str, Int64]:
    """Return host columns where another process works beside this host, not by turns with it.

    `waited` is the part in which it waits for that one. A step takes the slower of the two.
    """
    waited = {name: np.minimum(column, host[name]) for name, column in waited.items()}
    waited_ns = sum(waited.values())
    own_ns = sum(host.values()) - waited_ns
    left_ns = np.clip(waited_ns - own_ns, 0, None)
    share_left = left_ns / np.maximum(waited_ns, 1)
    left = {name: np.rint(share_left * column) for name, column in waited.items()}
    return {
        name: column - waited[name] + left[name].astype(np.int64)
        for name, column in host.items()
    }


def _scaled(values: Int64, factor: float) -> Int64:
    return values if factor == 1.0 else np.rint(values * factor).astype(np.int64)


def _compute_idle_pct(costs: StepCosts, step_ns: float) -> float:
    """Return the share of the time without a kernel, from the first step's end to the last's."""
    kernels_ns = int(costs.kernels[1:].sum())
    whole_ns = round(step_ns * (len(costs) - 1))
    return max(0.0, 100.0 - percent(kernels_ns, whole_ns))


def _tokens(trace: Trace, result: MeasuredDevice, whole: Bool) -> int | None:
    """Return how many tokens the steps that are replayed yielded; None where nothing tells."""
    name = trace.name_index(TOKENS)
    if result.steps.found == RECORDED and name >= 0:
        counters = trace.counters
        of_steps = (counters.name == name) & np.isin(counters.time, result.steps.end)
        return int(counters.value[of_steps].sum())
    work = steps_work(result)
    if work is None or not work.known[whole].all():
        return None
    return int(work.sampled[whole].sum())
