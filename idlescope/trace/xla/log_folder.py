"""Open the folder that jax.profiler.trace was given: its newest session, a file for each host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace
from idlescope.trace.xla.recognise import SESSIONS


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of the newest session of a log folder.

    Raises TraceError where it has none.
    """
    folder = path.joinpath(*SESSIONS)
    # they are named by the time at which they began
    sessions = sorted(session for session in folder.iterdir() if session.is_dir())
    if not sessions:
        raise TraceError(f"{folder} holds no sessions: was the profiler stopped?")
    return open_trace(sessions[-1], progress, frames=frames)
