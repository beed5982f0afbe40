"""The few figures that matter, as tiles: idle, its main cause, what would be saved, what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from idlescope.analysis.prediction.prediction import WORTH, Prediction
from idlescope.analysis.ranks.group import Group
from idlescope.analysis.result import DeviceResult
from idlescope.analysis.steps.batching import BatchingKind
from idlescope.analysis.verdict.in_short import main_cause, saved_without_wait, what_to_do
from idlescope.experiment.modes import Mode
from idlescope.experiment.result import Run
from idlescope.report.page.content import Tile
from idlescope.report.text import NOTHING, milliseconds, shorten

SAVED = "time saved if asynchronous"
MAX_NAME = 40
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?]) (?=[A-Z0-9])")


def sentences(text: str) -> list[str]:
    """Return the sentences of a verdict."""
    return _BETWEEN_SENTENCES.split(text)


def device_tiles(results: Sequence[DeviceResult], group: Group | None) -> list[Tile]:
    """Return the tiles of a trace: those of its device that idles most.

    What would be saved is that of the `group` of ranks, where there is one.
    """
    idlest = max(results, key=lambda result: result.idle_pct)
    which = ""
    if len(results) > 1:
        count = len(group.ranks) if group else len(results)
        which = f", device {idlest.device.index}, the most of {count}"
    return [
        Tile(f"idle{which}", f"{idlest.idle_pct:.2f} %", _idle_note(idlest)),
        cause_tile(idlest),
        (_saved_by_group(group) if group else None) or _saved_tile(idlest),
        action_tile(idlest),
    ]


def _saved_by_group(group: Group) -> Tile | None:
    """Return what asynchronous batching would save a group of ranks; None where nothing tells."""
    step_ns, predicted_ns = group.step_ns, group.predicted_step_ns
    if (
        step_ns is None
        or predicted_ns is None
        or group.batching != BatchingKind.SYNCHRONOUS
    ):
        return None
    saved = 1 - predicted_ns / step_ns
    note = f"{predicted_ns / 1e6:.2f} ms per step instead of {step_ns / 1e6:.2f}"
    return Tile(SAVED, f"{100 * saved:.1f} %" if saved >= WORTH else "nothing", note)


def run_tiles(run: Run) -> list[Tile]:
    """Return the tiles of a run: both modes, and what the synchronous one comes to."""
    first = next(iter(run.modes.values())).result
    modes = " → ".join(Mode(mode).adjective.lower() for mode in run.modes)
    is_open = run.config.demand.open
    idle_pct = [
        mode_run.idle_with_work_pct if is_open else mode_run.result.idle_pct
        for mode_run in run.modes.values()
    ]
    idle = " → ".join(f"{pct:.2f} %" for pct in idle_pct)
    gained = _faster_tokens(run) if is_open else _saved_in_run(run)
    return [
        Tile("idle while there are requests" if is_open else "idle", idle, modes),
        cause_tile(first),
        gained or _saved_tile(first),
        action_tile(first),
    ]


def cause_tile(result: DeviceResult) -> Tile:
    """Return what most of a device's idle time is."""
    cause = main_cause(result)
    if cause is None:
        return Tile("main cause", NOTHING, "there is no idle time")
    part = shorten(cause.part, MAX_NAME)
    if cause.part_has_most:
        note = f"{cause.part_pct_of_idle:.0f} % of idle time"
        return Tile("main cause", f"{cause.name}: {part}", note)
    note = f"{cause.pct_of_idle:.0f} % of idle time"
    if part:
        note += f"; the largest part: {part}, {cause.part_pct_of_idle:.0f} %"
    return Tile("main cause", cause.name, note)


def action_tile(result: DeviceResult) -> Tile:
    """Return what to do about a device's idle time."""
    action = what_to_do(result)
    return Tile("what to do", action.what, action.how)


def _idle_note(result: DeviceResult) -> str:
    per_step_ns = result.idle_per_step_ns
    window = f"of {milliseconds(result.occupancy.window_ns)}"
    return (
        window if per_step_ns is None else f"{milliseconds(per_step_ns)} per step, {window}"
    )


def _saved_in_run(run: Run) -> Tile | None:
    """Return what asynchronous batching saved; None unless both modes ran to their end."""
    if run.speedup is None:
        return None
    before, after = (run.modes[mode].total_ns for mode in (Mode.SYNC, Mode.ASYNC))
    saved = f"{100 * (1 - after / before):.1f} %"
    note = f"{milliseconds(before)} → {milliseconds(after)}, {run.speedup:.3f} times faster"
    return Tile("time saved", saved, note)


def _faster_tokens(run: Run) -> Tile | None:
    """Return what a load of requests that arrive feels of asynchronous batching."""
    times = [
        mode_run.latencies()["time_per_output_token_ms"] for mode_run in run.modes.values()
    ]
    medians = [time.p50 for time in times if time is not None]
    if run.speedup is None or len(medians) != len(run.modes):
        return None
    change = " → ".join(f"{median:.1f}" for median in medians)
    return Tile("time per output token", f"{change} ms", "median, at this load")


def _saved_tile(result: DeviceResult) -> Tile:
    """Return what asynchronous batching would save, as predicted, or what leaving out a wait."""
    without_wait = saved_without_wait(result)
    if without_wait is not None:
        return _saved_by_wait(result, without_wait)
    prediction = result.prediction
    if prediction is None:
        return Tile(SAVED, NOTHING, "not told by this trace")
    if prediction.depth == prediction.what.depth:
        return _saved_by_free_host(prediction)
    saved = prediction.predicted.less_than(prediction.base)
    return _saved_per_step(prediction.predicted.step_ns, prediction.base.step_ns, saved)


def _saved_per_step(predicted_ns: float, recorded_ns: float, saved: float) -> Tile:
    saved_text = f"{100 * saved:.1f} %" if saved >= WORTH else "nothing"
    predicted_ms, recorded_ms = predicted_ns / 1e6, recorded_ns / 1e6
    note = f"{predicted_ms:.2f} ms per step instead of {recorded_ms:.2f}"
    return Tile(SAVED, saved_text, note)


def _saved_by_wait(result: DeviceResult, saved_pct: float) -> Tile:
    saved_ns = saved_pct / 100 * result.occupancy.window_ns
    per_step = milliseconds(saved_ns / max(len(result.steps), 1))
    return Tile(
        "time saved without the wait", f"{saved_pct:.0f} %", f"up to {per_step} per step"
    )


def _saved_by_free_host(prediction: Prediction) -> Tile:
    """Return what is left to save where batching is asynchronous already."""
    saved = max(prediction.bound.less_than(prediction.base), 0.0)
    note = f"a host that costs nothing: {100 * saved:.1f} %"
    return Tile(SAVED, "it is already", note)
