"""Have running servers record themselves, and read their counters before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from idlescope.capture.server import counters, step_time
from idlescope.capture.server.address import ServerEngine
from idlescope.capture.server.client import Client
from idlescope.capture.server.counters import Reading
from idlescope.capture.server.profile import Session, profile
from idlescope.capture.server.recording import Recording
from idlescope.capture.server.together import each
from idlescope.capture.server.traces import NewTraces, Say, folder_state, wait_for_traces
from idlescope.errors import ServerError
from idlescope.trace.ranks_said import MOST_MISSING
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
    """Have one server record (`capture_together`)."""
    return capture_together([recording], say)


def capture_together(recordings: Sequence[Recording], say: Say) -> Captured:
    """Have servers record at the same time, into one folder; `say` is called with what is done.

    The time of a step without the profiler is written beside the traces, where the servers'
    counters tell it; of several servers, the mean. Raises ServerError.
    """
    first, servers = recordings[0], len(recordings)
    engine = ServerEngine(first.engine)
    clients = [Client(recording) for recording in recordings]
    files_before = folder_state(first.traces)
    before = each(clients, step_time.watch, say)
    sessions = [
        Session(
            recording, client, files_before, readings[-1] if readings else None, servers
        )
        for recording, client, readings in zip(recordings, clients, before, strict=True)
    ]
    notes = [note for found in each(sessions, profile, say) for note in found]
    notes += _traffic(sessions)
    new = wait_for_traces(first, files_before, say, servers)
    counted = [number for number, readings in enumerate(before) if readings]
    after: list[list[Reading]] = [[] for _ in recordings]
    if counted:
        readings_after = each([clients[number] for number in counted], step_time.watch, say)
        for number, readings in zip(counted, readings_after, strict=True):
            after[number] = readings
    notes += [*_left_out(new), *_missing(new, first)]
    steps = []
    for recording, early, late in zip(recordings, before, after, strict=True):
        step = step_time.unprofiled_step(engine, early, late)
        if step is None:
            notes.append(_untold(recording, bool(early)))
            continue
        steps.append(step)
        notes += _slowed(recording, step, step_time.step_of(engine, late))
    if not steps:
        return Captured(new.devices, None, notes)
    step = _mean(steps)
    notes.append(_noted(new, step, [*before, *after]))
    return Captured(new.devices, step, notes)


def _mean(steps: Sequence[UnprofiledStep]) -> UnprofiledStep:
    """Return the mean of the servers' steps, within the bounds of all."""
    if len(steps) == 1:
        return steps[0]
    return UnprofiledStep(
        step_ms=sum(step.step_ms for step in steps) / len(steps),
        low_ms=min(step.low_ms for step in steps),
        high_ms=max(step.high_ms for step in steps),
        method=f"mean of {len(steps)} servers, {steps[0].method}",
    )


def _traffic(sessions: Sequence[Session]) -> list[str]:
    """Return a note for each server whose counters stood still while its profiler was on.

    Raises ServerError where they say that no step ran on any. A number of running requests does not
    move in SGLang until it works on some again, so that it can be of earlier ones.
    """
    notes, idle = [], 0
    for session in sessions:
        before, url = session.counters_before, session.recording.url
        engine = ServerEngine(session.recording.engine)
        now = None if before is None else counters.read(session.client)
        if before is None or now is None or not step_time.stood_still(engine, before, now):
            continue
        if step_time.was_idle(engine, before, now):
            idle += 1
            notes.append(
                f"{url} served no request while its profiler was on, so there is nothing to see: "
                "send it requests meanwhile"
            )
            continue
        notes.append(
            f"no token left {url} while its profiler was on: send it requests meanwhile, where the "
            "trace holds none"
        )
    if idle == len(sessions):
        raise ServerError(notes[0])
    return notes


def _missing(new: NewTraces, recording: Recording) -> list[str]:
    """Return a note on ranks that wrote no trace, though others of their job did."""
    if not new.missing:
        return []
    several = len(new.missing) > 1
    ranks = ", ".join(map(str, new.missing[:MOST_MISSING]))
    return [
        f"{'ranks' if several else 'rank'} {ranks} of the job wrote no trace into "
        f"{recording.traces}, the others are analysed: on another host? Give a folder that all "
        "share, or --ranks N to wait longer"
    ]


def _untold(recording: Recording, shows_counters: bool) -> str:
    """Return that the time of a step is not known, and why."""
    reason = (
        "its counters say that it served too little meanwhile"
        if shows_counters
        else NO_COUNTERS[ServerEngine(recording.engine)]
    )
    return f"how long a step takes without the profiler {recording.url} does not tell: {reason}"


def _slowed(
    recording: Recording, before: UnprofiledStep, after: UnprofiledStep | None
) -> list[str]:
    """Return a note where steps are longer once the recording has ended."""
    if after is None or after.step_ms < SLOWED * before.step_ms:
        return []
    return [
        f"since the recording a step of {recording.url} takes {after.step_ms:.3g} ms: the "
        "profiler stays in the server's process, so restart the server before its speed "
        "matters or is measured again"
    ]


def _left_out(new: NewTraces) -> list[str]:
    if not new.left_out:
        return []
    names = ", ".join(path.name for path in new.left_out)
    return [f"left out, as it holds no GPU: {names} (vLLM's front end)"]


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
