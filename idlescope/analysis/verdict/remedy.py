"""The second sentence of a verdict: what to do about it, and what that would give."""

from __future__ import annotations

from msgspec.structs import replace

from idlescope.analysis.idle.concentration import Spread
from idlescope.analysis.idle.host_labels import phase_of
from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.prediction import WORTH, Prediction
from idlescope.analysis.steps.batching import ASYNCHRONOUS, Culprit
from idlescope.analysis.verdict.eager import eager_idle
from idlescope.analysis.verdict.findings import (
    BUSY_IDLE_PCT,
    MOSTLY_PCT,
    Verdict,
    VerdictKind,
)
from idlescope.trace.names.engines import RANK_WAIT

# How asynchronous batching is switched on.
SWITCH = {
    "vllm": "vLLM: --async-scheduling",
    "sglang": "SGLang: without --disable-overlap-schedule",
    "trtllm": "TensorRT-LLM: disable_overlap_scheduler: false",
    "transformers": "transformers: use_async_batching=True",
    "idlescope": "--mode async",
}
COMMUNICATE_LESS = (
    "Communicate beside the computing (two batches at a time), or less; how much of it is waiting "
    "for a late rank, the traces of all ranks tell (give their folder)."
)
FOR_RANKS = (
    "Find what the other ranks do longer (give the traces of all of them): a faster host of this "
    "one, or asynchronous batching, would only make it wait longer."
)
NO_GAIN = "A faster host gives next to nothing: what is left is the device's own work."
# Whose verdict has said already what to do, or cannot.
_COMPLETE = (VerdictKind.CANNOT_TELL, VerdictKind.NO_DEMAND, VerdictKind.COLD_START)


def with_remedy(device: MeasuredDevice, prediction: Prediction | None) -> Verdict:
    """Return a device's verdict with the sentence on what to do about it.

    `prediction` is that of asynchronous batching; None where it cannot be told.
    """
    verdict = device.verdict
    starved = device.spread.kind == Spread.NO_DEMAND
    what = _with_demand(device, prediction) if starved else ""
    if what:
        return replace(verdict, text=f"{verdict.text} {what}")
    paused = device.spread.kind == Spread.PAUSES and device.idle_pct >= BUSY_IDLE_PCT
    shared = verdict.kind == VerdictKind.BUSY and device.shared is not None
    if (
        verdict.kind in _COMPLETE
        or (paused and verdict.kind != VerdictKind.COPY_BOUND)
        or shared
    ):
        return verdict
    remedy = FOR_RANKS if _waits_for_ranks(device) else _remedy(device, prediction)
    return replace(verdict, text=f"{verdict.text} {remedy}")


def _with_demand(device: MeasuredDevice, prediction: Prediction | None) -> str:
    """Return what would help a device without demand while it has some; empty: nothing."""
    if _can_be_asynchronous(prediction):
        return f"Its batching is synchronous. {_asynchronous(device, prediction)}"
    batching = device.batching
    host_is_slower = batching.kind == ASYNCHRONOUS and batching.host_is_slower
    if device.verdict.kind != VerdictKind.NO_DEMAND or not host_is_slower:
        return ""
    slower = "Its batching is asynchronous, but the host is the slower side."
    return f"{slower} {_shorter_host(prediction)}"


def _can_be_asynchronous(prediction: Prediction | None) -> bool:
    """Return whether a loop is known to be synchronous, and to gain by not being so."""
    return (
        prediction is not None
        and prediction.depth == 1
        and prediction.predicted.less_than(prediction.base) >= WORTH
    )


def _waits_for_ranks(device: MeasuredDevice) -> bool:
    """Return whether the host waits for other ranks while most of the idle time passes."""
    waited_ns = sum(
        ns for label, ns in device.host_ns.items() if phase_of(label) == RANK_WAIT
    )
    return percent(waited_ns, device.occupancy.idle_ns) >= MOSTLY_PCT


def _remedy(device: MeasuredDevice, prediction: Prediction | None) -> str:
    kind = device.verdict.kind
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _OF_PREDICTION:
        return _OF_PREDICTION[kind](device, prediction)
    if kind == VerdictKind.LAUNCH_BOUND:
        return _graph(device)
    if kind == VerdictKind.BUSY:
        return _busy(device)
    if device.batching.kind == ASYNCHRONOUS and not _host_has_most(device):
        return "Batching is not the cause: look at the longest gaps for what the device waited for."
    return _shorter_host(prediction)


def asynchronous_batching(engine: str) -> str:
    """Return what asynchronous batching is called, with how an engine that is known is told to."""
    switch = SWITCH.get(engine, "")
    return f"Asynchronous batching ({switch})" if switch else "Asynchronous batching"


def _asynchronous(device: MeasuredDevice, prediction: Prediction | None) -> str:
    """Return what asynchronous batching would give."""
    what = asynchronous_batching(device.view.engine)
    if prediction is None:
        return (
            f"{what} would hide the host's work behind the device's; how much is not told."
        )
    if prediction.predicted.less_than(prediction.base) < WORTH:
        return f"{what} would save nothing: {_saved_with_free_host(prediction)}."
    return f"{what} would make it {_change(prediction)}."


def _hidden_host(device: MeasuredDevice, prediction: Prediction | None) -> str:
    """Return what it would give to hide the host's work, where that is not asynchronous already."""
    if prediction is None or prediction.depth == 1:
        return _asynchronous(device, prediction)
    return _shorter_host(prediction)


def _without_wait(device: MeasuredDevice, prediction: Prediction | None) -> str:
    """Return what it would give not to wait where a loop is serialised."""
    culprit = device.batching.culprit
    assert culprit is not None
    what = f"Without that wait ({_how_to_avoid(culprit)})"
    saves = 0.0 if prediction is None else prediction.predicted.less_than(prediction.base)
    if prediction is not None and saves >= WORTH and not culprit.inside_step:
        return f"{what} it would be {_change(prediction)}."
    # The wait is for a part of the step: it stays in an asynchronous loop.
    waited_ns = min(culprit.waited_ns, device.occupancy.idle_ns)
    saved_ms = waited_ns / max(len(device.steps), 1) / 1e6
    saved_pct = percent(waited_ns, device.occupancy.window_ns)
    return f"{what} up to {saved_ms:.2f} ms per step would be saved, {saved_pct:.0f} %."


def _how_to_avoid(culprit: Culprit) -> str:
    if "Memcpy" in culprit.call:
        return "pinned memory for the copy"
    if culprit.is_item:
        return "no .item() in the loop"
    return "leave the value on the device, or read it a step later"


def _graph(device: MeasuredDevice) -> str:
    """Return what launching a step at once would give."""
    eager_ns = eager_idle(device.view, device.step, device.gaps)
    steps = len(device.steps)
    if not eager_ns or not steps:
        return "A CUDA graph would help, or fewer and larger kernels."
    saved_ms = eager_ns / steps / 1e6
    saved_pct = percent(eager_ns, device.occupancy.window_ns)
    return f"A CUDA graph would help: up to {saved_ms:.2f} ms per step, {saved_pct:.0f} %."


def _busy(device: MeasuredDevice) -> str:
    """Return what is left to do for a device that is hardly idle."""
    occupancy = device.occupancy
    hidden_ns = occupancy.compute_idle_ns - occupancy.idle_ns
    hidden_pct = percent(hidden_ns, occupancy.window_ns)
    if hidden_pct >= BUSY_IDLE_PCT:
        return (
            f"Copy beside the computing, or less: up to {hidden_pct:.1f} % of the time would be "
            "saved."
        )
    return NO_GAIN


def _shorter_host(prediction: Prediction | None) -> str:
    """Return what a faster host would give."""
    what = "Shorten the host's work"
    if prediction is None:
        return f"{what}: what that gives is not told."
    if prediction.bound.less_than(prediction.base) < WORTH:
        return NO_GAIN
    return f"{what}: {_saved_with_free_host(prediction)}."


def _saved_with_free_host(prediction: Prediction) -> str:
    """Return what a host that costs nothing would give."""
    bound, base = prediction.bound, prediction.base
    saved_pct = 100 * max(bound.less_than(base), 0.0)
    return (
        f"with a host that costs nothing a step takes {bound.step_ns / 1e6:.2f} ms instead of "
        f"{base.step_ns / 1e6:.2f}, {saved_pct:.1f} % less"
    )


def _change(prediction: Prediction) -> str:
    predicted, base = prediction.predicted, prediction.base
    saved_pct = 100 * predicted.less_than(base)
    return (
        f"{predicted.step_ns / 1e6:.2f} ms per step instead of {base.step_ns / 1e6:.2f}, "
        f"{saved_pct:.1f} % less"
    )


def _host_has_most(device: MeasuredDevice) -> bool:
    """Return whether most of the idle time is the host's, or launches that came late."""
    totals = device.gaps.totals()
    return 2 * (totals["host"] + totals["launch"]) >= device.occupancy.idle_ns


_FIXED = {
    VerdictKind.COPY_BOUND: (
        "Copy less, or beside the computing: from pinned memory, on a stream of its own."
    ),
    VerdictKind.COMMUNICATION_BOUND: COMMUNICATE_LESS,
    VerdictKind.QUEUE_BOUND: (
        "Look at what its streams wait for (events, other streams, latency within graphs): "
        "batching changes nothing about that."
    ),
}
_OF_PREDICTION = {
    VerdictKind.SYNCHRONOUS: _asynchronous,
    VerdictKind.SERIALISED: _without_wait,
    VerdictKind.HOST_EXPOSED: _hidden_host,
}
