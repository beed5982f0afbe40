"""What a device's trace was and what it would be, with what further changes are worth: in figures and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.what_if import MAX_DEPTH, Prediction, Replays, WhatIf
from idlescope.errors import TraceError
from idlescope.trace.model import Trace

WORTH = 0.005  # of the time: a change that saves less is called none


@dataclass(frozen=True)
class Lever:
    """One change on top of what was asked for, and what it makes of it."""

    name: str
    predicted: Prediction


@dataclass(frozen=True)
class Forecast:
    """What one device's trace was, and what it would be."""

    result: MeasuredDevice
    depth: (
        int | None
    )  # steps in flight as recorded; None where a wait keeps an asynchronous loop from being one
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
            change = (
                f"{abs(100 * less):.1f} % {'less' if less > 0 else 'more'}"
                if abs(less) >= WORTH
                else "no change"
            )
            change += f", ± {percent(now.high_ns - now.total_ns, now.total_ns):.2f} %"
            said.append(
                f"{self.what.text().capitalize()}: {now.step_ns / 1e6:.2f} ms a step instead of "
                f"{was.step_ns / 1e6:.2f} ({change}); {free}"
            )
        saving = [(lever.predicted.less_than(now), lever.name) for lever in self.levers]
        worth = _listed(
            [
                f"{name} {100 * by:.1f} %"
                for by, name in sorted(saving, reverse=True)
                if by >= WORTH
            ],
            "and",
        )
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


def forecast(
    trace: Trace, result: MeasuredDevice, what: WhatIf | None = None, levers: bool = True
) -> Forecast:
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


def expected(trace: Trace, result: MeasuredDevice) -> Forecast | None:
    """Return what asynchronous batching would do for a device, levers left out; None where its trace cannot tell."""
    try:
        return forecast(trace, result, levers=False)
    except TraceError:
        return None
