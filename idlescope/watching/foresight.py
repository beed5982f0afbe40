"""What asynchronous batching would give a watched loop: its last steps, analysed and replayed.

This is the analysis of a recording, so it is only made when somebody asks, of few steps, and not
again for ten seconds. It holds the interpreter's lock for 30 to 200 ms, in which the loop could not
go on: for those who ask over the network it is made in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from idlescope.analysis.steps.batching import BatchingKind
from idlescope.children.start import command
from idlescope.errors import IdlescopeError
from idlescope.trace.model import Trace
from idlescope.trace.recording.as_bytes import packed, unpacked
from idlescope.trace.watch_said import said_by_watch
from idlescope.watching.state import AsynchronousGain

if TYPE_CHECKING:
    from idlescope.analysis.measured import MeasuredDevice

STEPS = 128  # that are replayed
FEWEST_STEPS = 16
AGAIN_NS = 10_000_000_000
# How much longer than foreseen steps were by what a way does not see: by events, copies and kernels
# outside of launch calls and what they hold up (vLLM 8B on an H200, at the same context:
# reports/engines).
UNSEEN = {"events": 0.04}
PATIENCE_S = 20.0  # with the other process, which imports the analysis first


class Foreseen(NamedTuple):
    """What was told the last time."""

    batching: str
    gain: AsynchronousGain | None
    note: str  # why there is none; "" where there is one


NOT_YET = Foreseen(str(BatchingKind.UNKNOWN), None, "too few steps so far to tell more")


FORESEEN = msgspec.json.Decoder(Foreseen)
Foresee = Callable[[Trace], Foreseen]


class Foresight:
    """Keeps what was told for a while."""

    def __init__(self) -> None:
        self._told = NOT_YET
        self._again_ns = 0

    def look(
        self, last_steps: Callable[[], Trace], steps: int, foresee: Foresee
    ) -> Foreseen:
        """Return what the last steps tell; `last_steps` gives their trace, of so many at most.

        `foresee` is `here` or `elsewhere`.
        """
        now = time.perf_counter_ns()
        if now >= self._again_ns and steps >= FEWEST_STEPS:
            self._again_ns = now + AGAIN_NS
            self._told = foresee(last_steps())
        return self._told


def _why_not(trace: Trace, device: MeasuredDevice) -> str:
    """Return why the steps of a device cannot be replayed."""
    from idlescope.analysis.prediction.predict_device import predict_device

    if device.spread.work_is_guessed:
        return "most idle time is for want of requests, about which batching does nothing"
    try:
        predict_device(trace, device, levers=False)
    except IdlescopeError as error:
        return str(error)
    return "the last steps cannot be replayed"


def elsewhere(trace: Trace) -> Foreseen:
    """Return what steps tell, found by another process: this one's interpreter stays free."""
    try:
        found = subprocess.run(  # noqa: S603 - our own module
            command(__name__),
            input=packed(trace),
            capture_output=True,
            env=os.environ | {"IDLESCOPE_WATCH": "0"},
            timeout=PATIENCE_S,
            check=True,
        )
        return FORESEEN.decode(found.stdout)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        return NOT_YET._replace(note=f"the analysis did not succeed: {error}")


def main() -> None:
    """Tell of the trace on standard input: what `elsewhere` starts."""
    trace = unpacked(sys.stdin.buffer.read())
    sys.stdout.buffer.write(msgspec.json.encode(here(trace)))


def here(trace: Trace) -> Foreseen:
    """Return what steps tell."""
    from idlescope.analysis.analyze import analyze

    try:
        analysis = analyze(trace)
    except IdlescopeError as error:
        return NOT_YET._replace(note=str(error))
    if not analysis.results:
        return NOT_YET._replace(note="no device was timed in the last steps")
    device = analysis.results[0]
    batching = str(device.batching.kind)
    prediction = device.prediction
    if prediction is None:
        return Foreseen(batching, None, _why_not(trace, device))
    if (prediction.depth or 0) > 1:
        return Foreseen(batching, None, "the loop is asynchronous already")
    predicted = prediction.predicted
    margin_ns = (predicted.margin_ns or 0) / max(predicted.steps, 1)
    unseen_ns = UNSEEN.get(said_by_watch(trace.meta).way, 0.0) * predicted.step_ns
    gain = AsynchronousGain(
        step_ns=round(prediction.base.step_ns),
        predicted_step_ns=round(predicted.step_ns),
        saved_pct=100.0 * predicted.less_than(prediction.base),
        steps=prediction.recorded.steps,
        how=prediction.text(),
        unix_ns=time.time_ns(),
        low_step_ns=round(predicted.step_ns - margin_ns),
        high_step_ns=round(predicted.step_ns + margin_ns + unseen_ns),
    )
    return Foreseen(batching, gain, "")


if __name__ == "__main__":
    main()
