"""Have a running server record itself, and read its counters before and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from idlescope.capture.server import counters, step_time
from idlescope.capture.server.address import ServerEngine
from idlescope.capture.server.client import Client
from idlescope.capture.server.counters import Reading
from idlescope.capture.server.profile import Session, profile
from idlescope.capture.server.recording import Recording
from idlescope.capture.server.traces import NewTraces, Say, folder_state, wait_for_traces
from idlescope.errors import ServerError
from idlescope.trace.unprofiled import UnprofiledStep, write_beside

NO_COUNTERS = {
    ServerEngine.VLLM: "it shows no counters at /metrics",
    ServerEngine.SGLANG: "it shows no counters at /metrics: start SGLang with --enable-metrics",
}

SLOWED = 1.05  # of a step before the recording: more is not its growing context


@dataclass(frozen=True)
class Captured:
    """What a server recorded, and what the user should know of it."""

    traces: list[Path]  # new ones, by name
    step: UnprofiledStep | None  # without the profiler
    notes: list[str]  # in sentences


def capture(recording: Recording, say: Say) -> Captured:
    """Have the server record; `say` is called with what is being done.

    The time of a step without the profiler is written beside the traces, where the server's
    counters tell it. Raises ServerError.
    """
    engine = ServerEngine(recording.engine)
    client = Client(recording)
    files_before = folder_state(recording.traces)
    before = step_time.watch(client, say)
    session = Session(recording, client, files_before, before[-1] if before else None)
    notes = profile(session, say)
    notes += _traffic(session, counters.read(client) if before else None)
    new = wait_for_traces(recording, files_before, say)
    after = step_time.watch(client, say) if before else []
    step = step_time.unprofiled_step(engine, before, after)
    notes += _left_out(new)
    if not before:
        notes.append(f"{_unknown(recording)}: {NO_COUNTERS[engine]}")
    elif step is None:
        notes.append(
            f"{_unknown(recording)}: its counters say that it served too little meanwhile"
        )
    else:
        notes.append(_noted(new, step, [before, after]))
        notes += _slowed(step, step_time.step_of(engine, after))
    return Captured(new.devices, step, notes)


def _traffic(session: Session, now: Reading | None) -> list[str]:
    """Return a note where the server's counters stood still while the profiler was on.

    Raises ServerError where they say that no step ran. A number of running requests does not move
    in SGLang until it works on some again, so that it can be of earlier ones.
    """
    before = session.counters_before
    engine = ServerEngine(session.recording.engine)
    if before is None or now is None or not step_time.stood_still(engine, before, now):
        return []
    if step_time.was_idle(engine, before, now):
        raise ServerError(
            f"{session.recording.url} served no request while its profiler was on, so there is "
            "nothing to see: send it requests meanwhile"
        )
    return [
        f"no token left {session.recording.url} while its profiler was on: send it requests "
        "meanwhile, where the trace holds none"
    ]


def _slowed(before: UnprofiledStep, after: UnprofiledStep | None) -> list[str]:
    """Return a note where steps are longer once the recording has ended."""
    if after is None or after.step_ms < SLOWED * before.step_ms:
        return []
    return [
        f"since the recording a step takes {after.step_ms:.3g} ms: the profiler stays in the "
        "server's process, so restart the server before its speed matters or is measured again"
    ]


def _left_out(new: NewTraces) -> list[str]:
    if not new.left_out:
        return []
    names = ", ".join(path.name for path in new.left_out)
    return [f"left out, as it holds no GPU: {names} (vLLM's front end)"]


def _unknown(recording: Recording) -> str:
    return f"how long a step takes without the profiler {recording.url} does not tell"


def _noted(new: NewTraces, step: UnprofiledStep, watched: list[list[Reading]]) -> str:
    """Write the time of a step beside the traces; return it as a sentence."""
    grown: dict[str, float] = {}
    for readings in watched:
        for name, value in step_time.growth(readings).items():
            grown[name] = grown.get(name, 0.0) + value
    says = (
        f"a step takes {step.step_ms:.3g} ms without the profiler "
        f"({step.low_ms:.3g} to {step.high_ms:.3g}; {step.method})"
    )
    try:
        return f"{says}: noted in {write_beside(new.devices, step, grown)}"
    except OSError as error:
        return f"{says}; it could not be noted beside the traces: {error.strerror or error}"
