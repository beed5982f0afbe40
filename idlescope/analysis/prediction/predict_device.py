"""Predict what one device would do: batched asynchronously, or otherwise changed."""

from __future__ import annotations

from dataclasses import replace

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.named_work import blocking_copy_columns, largest_phase
from idlescope.analysis.prediction.prediction import Lever, Prediction
from idlescope.analysis.prediction.replays import Replays
from idlescope.analysis.prediction.what_if import MAX_DEPTH, WhatIf
from idlescope.errors import TraceError
from idlescope.trace.model import Trace


def predict_device(
    trace: Trace, result: MeasuredDevice, what: WhatIf | None = None, levers: bool = True
) -> Prediction:
    """Return what one device would do, with what further changes are worth unless told not to.

    Raises TraceError where its trace cannot tell, ConfigError for a phase that it does not have.
    """
    result = result.judged_part
    replays = Replays(trace, result)
    what = what or WhatIf()
    host_is_slower = replays.costs.host > replays.costs.compute
    replayed_steps = result.steps.number[replays.steps.whole]
    return Prediction(
        result=result,
        depth=replays.depth,
        what=what,
        recorded=replays.recorded,
        unprofiled=replays.base,
        predicted=replays.predict(what),
        bound=replays.predict(replace(what, host=0.0)),
        levers=_levers(replays, what) if levers else (),
        exposed_ns=result.idle_per_step_ns or 0.0,
        host_bound=tuple(replayed_steps[host_is_slower].tolist()),
    )


def predict_asynchronous(trace: Trace, result: MeasuredDevice) -> Prediction | None:
    """Return what asynchronous batching would do for a device, without levers.

    Returns None where its trace cannot tell.
    """
    try:
        return predict_device(trace, result, levers=False)
    except TraceError:
        return None


def _levers(replays: Replays, what: WhatIf) -> tuple[Lever, ...]:
    """Return what each further change would make of it, of those that the trace has room for."""
    changes = {
        "host twice as fast": replace(what, host=what.host / 2),
        "GPU twice as fast": replace(what, device=what.device / 2),
    }
    deeper = what.depth + 1
    if deeper <= MAX_DEPTH:
        changes[f"{deeper} in flight"] = replace(what, depth=deeper)
    if not what.graphs and replays.steps.eager.any():
        changes["CUDA graphs"] = replace(what, graphs=True)
    if not what.pinned and _copies_block(replays):
        changes["pinned copies"] = replace(what, pinned=True)
    if what.without is None:
        largest = largest_phase(replays.host_work)
        if largest is not None:
            changes[f"no {largest}"] = replace(what, without=largest)
    levers = []
    for name, change in changes.items():
        outcome = replays.predict(change)
        levers.append(Lever(name, change, outcome))
    return tuple(levers)


def _copies_block(replays: Replays) -> bool:
    columns = blocking_copy_columns(replays.host_work)
    return any(column.any() for column in columns.values())
