"""Start the profiler of a running server, wait while it records, and stop it.

vLLM (docs.vllm.ai, Profiling vLLM) and SGLang (docs.sglang.io, Benchmark and Profiling) both take
POST /start_profile and /stop_profile. Those of dynamo are below /engine/control on its system port.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from idlescope.capture.server import counters, step_time
from idlescope.capture.server.address import ServerEngine
from idlescope.capture.server.client import Client, NotStartedError
from idlescope.capture.server.counters import Reading
from idlescope.capture.server.recording import Recording
from idlescope.capture.server.traces import (
    POLL_S,
    FolderState,
    Say,
    changed_since,
    folder_state,
)
from idlescope.errors import ServerError

OPTIONS_SINCE = (0, 33)  # the version from which on vLLM takes options with the request
COUNTER_POLL_S = 0.25
BAD_BODY = (400, 422)  # statuses of a server that does not take the body


@dataclass
class Session:
    """A recording under way."""

    recording: Recording
    client: Client
    files_before: FolderState
    counters_before: Reading | None  # None where the server shows none
    servers: int = 1  # that record at the same time, into one folder
    takes_options: bool = True  # with the request

    @property
    def is_vllm(self) -> bool:
        """Return whether the server is vLLM's."""
        return self.recording.engine == ServerEngine.VLLM

    @property
    def ends_by_itself(self) -> bool:
        """Return whether the server stops its profiler after the steps that were asked for."""
        return self.recording.steps is not None and self.takes_options


def profile(session: Session, say: Say) -> list[str]:
    """Start the server's profiler, wait, stop it; return what the user should know.

    It is stopped on the way out, whatever happens, unless the server refused to start it: then
    another's recording may be running. Raises ServerError.
    """
    say("starting the server's profiler")
    try:
        notes = _start(session)
        ended = _record(session, say)
    except NotStartedError:
        raise
    except BaseException as cause:
        try:
            _stop(session, say)
        except ServerError as error:
            if isinstance(cause, KeyboardInterrupt):
                error.exit_code = 130
            raise
        except KeyboardInterrupt:
            by_hand = session.recording.by_hand(session.client.sends_key)
            raise KeyboardInterrupt(
                f"the server's profiler may still run: stop it with {by_hand}"
            ) from None
        raise
    # vLLM's front end records until it is told to stop; SGLang has ended, and would refuse.
    if session.is_vllm or not ended:
        notes += _missed_steps(session)
        _stop(session, say)
    return notes


def _missed_steps(session: Session) -> list[str]:
    """Return a note where vLLM made fewer steps than were asked for, by its counters."""
    before, asked = session.counters_before, session.recording.steps
    if before is None or asked is None:
        return []
    now = counters.read(session.client)
    steps = None if now is None else step_time.steps_done(before, now)
    if steps is None or steps >= asked:
        return []
    return [
        f"the server made {steps:.0f} of {asked} steps in {session.recording.longest_s:g} s: "
        "send it requests meanwhile, or give more --seconds"
    ]


def _start(session: Session) -> list[str]:
    """Start it with the options, or without where the server is too old for them."""
    client = session.client
    if session.is_vllm:
        session.takes_options = _takes_options(client)
    body = _body(session.recording) if session.takes_options else None
    if body is None:
        _check_steps(session)
    try:
        client.post("start_profile", body)
    except NotStartedError as error:
        if not session.is_vllm or body is None or error.status not in BAD_BODY:
            raise
        session.takes_options = False
        _check_steps(session)
        client.post("start_profile", None)
    return [] if session.takes_options else [_without_options(session.recording)]


def _takes_options(client: Client) -> bool:
    """Return whether vLLM is new enough for options; True where it does not say."""
    page = client.get(f"{client.server.address.path.rstrip('/')}/version")
    try:
        version = str(json.loads(page or "")["version"])
        major, minor = version.split(".")[:2]
        return (int(major), int(minor)) >= OPTIONS_SINCE
    except (KeyError, TypeError, ValueError, RecursionError):  # whatever it answers
        return True


def _body(recording: Recording) -> dict[str, object]:
    """Return the options of a recording as the engine takes them."""
    detail = {"with_stack": recording.stacks, "record_shapes": recording.shapes}
    if recording.engine == ServerEngine.VLLM:
        body: dict[str, object] = {"profiler_kwargs": detail}
        if recording.steps is not None:
            body["max_iterations"] = recording.steps
        return body
    folder = str(recording.traces.resolve())
    body = {"output_dir": folder, "activities": ["CPU", "GPU"], **detail}
    if recording.steps is not None:
        body["num_steps"] = recording.steps
    return body


def _check_steps(session: Session) -> None:
    """Raise NotStartedError for steps that can neither be asked for nor counted."""
    reading = session.counters_before
    counted = reading is not None and bool(reading.series(step_time.VLLM_ITERATIONS))
    if session.recording.steps is not None and not counted:
        raise NotStartedError(
            "--steps needs vLLM 0.33 or later, or a server that shows its counters at /metrics: "
            "give --seconds"
        )


def _without_options(recording: Recording) -> str:
    asked = [name for name in ("stacks", "shapes") if getattr(recording, name)]
    wish = (
        f"--{' and --'.join(asked)} had no effect"
        if asked
        else "it may have recorded stacks"
    )
    return (
        f"this vLLM takes no options with the request, so {wish}: start it with "
        "torch_profiler_with_stack and torch_profiler_record_shapes in its --profiler-config, "
        "or take vLLM 0.33"
    )


def _record(session: Session, say: Say) -> bool:
    """Wait while the server records; return whether it has ended by itself."""
    recording = session.recording
    start = time.monotonic()
    end = start + recording.longest_s
    next_count = start
    while (left := end - time.monotonic()) > 0:
        if recording.steps is None:
            say(f"recording: {left:.0f} s left")
        else:
            say(f"recording {recording.steps} steps: {left:.0f} s at the most")
            if session.ends_by_itself and _wrote(session):
                return True
            if session.is_vllm and time.monotonic() >= next_count:
                if _counted(session):
                    return session.ends_by_itself
                next_count = time.monotonic() + COUNTER_POLL_S
        time.sleep(min(left, POLL_S))
    return False


def _wrote(session: Session) -> bool:
    """Return whether the server has begun to write a trace; of several, whether all have."""
    changed = changed_since(session.files_before, folder_state(session.recording.traces))
    return len(changed) >= session.servers


def _counted(session: Session) -> bool:
    """Return whether vLLM's counters say that the steps were made."""
    before = session.counters_before
    now = None if before is None else counters.read(session.client)
    if before is None or now is None:
        return False
    steps = step_time.steps_done(before, now)
    return steps is not None and steps >= (session.recording.steps or 0)


def _stop(session: Session, say: Say) -> None:
    """Stop the server's profiler. Raises ServerError, which says how to do that by hand."""
    say("stopping the server's profiler, which writes its traces")
    try:
        session.client.post("stop_profile")
    except ServerError as error:
        # It may have ended by itself in the meantime, and then refuses.
        if (
            session.ends_by_itself
            and isinstance(error, NotStartedError)
            and _wrote(session)
        ):
            return
        by_hand = session.recording.by_hand(session.client.sends_key)
        raise ServerError(
            f"{error}; if the server still runs, stop its profiler with: {by_hand}"
        ) from error
