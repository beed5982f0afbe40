"""The trace files that a server writes: which are new, and when they are whole."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from idlescope.capture.server.address import ServerEngine
from idlescope.capture.server.recording import Recording
from idlescope.errors import ServerError, TraceError
from idlescope.trace import ranks_said, unprofiled
from idlescope.trace.expansion import most_bytes

SUFFIXES = (".json", ".json.gz")  # of what torch.profiler writes
FRONT_END = ".async_llm."  # in the name of what vLLM's API server writes of itself: no GPU
STABLE_S = 2.0  # files that have not grown for so long are taken to be written
LATE_RANK_S = (
    20.0  # that a rank is waited for whose others have written, unless --ranks says it
)
POLL_S = 0.1
CHUNK = 1 << 20

WHERE = {
    ServerEngine.VLLM: "give --traces the folder of the server's torch_profiler_dir "
    "(VLLM_TORCH_PROFILER_DIR)",
    ServerEngine.SGLANG: "the server must see the folder under the same path, "
    "and be allowed to write to it",
}

Say = Callable[[str], None]


class FileState(NamedTuple):
    """What changes when a file is written to."""

    size: int
    changed_ns: int


FolderState = dict[Path, FileState]


class NewTraces(NamedTuple):
    """What a server wrote, by name."""

    devices: list[Path]  # traces that may hold a GPU
    left_out: list[Path]  # vLLM's front end
    missing: tuple[
        int, ...
    ] = ()  # ranks of the job, by what the traces say, that wrote none


def folder_state(folder: Path) -> FolderState:
    """Return the trace files in a folder as they are now. Raises ServerError if unreadable."""
    file_states: FolderState = {}
    try:
        for file_path in folder.iterdir():
            if (
                file_path.name.endswith(SUFFIXES)
                and file_path.name != unprofiled.FILE
                and file_path.is_file()
            ):
                file_status = file_path.stat()
                file_states[file_path] = FileState(
                    file_status.st_size, file_status.st_mtime_ns
                )
    except FileNotFoundError:  # renamed while we looked, or the folder went away
        if folder.is_dir():
            return file_states
        raise ServerError(f"{folder} is gone: the traces cannot be found") from None
    except OSError as error:
        raise ServerError(f"{folder} cannot be read: {error.strerror or error}") from error
    return file_states


def changed_since(before: FolderState, now: FolderState) -> FolderState:
    """Return the files that are new or changed."""
    return {
        file_path: file_state
        for file_path, file_state in now.items()
        if before.get(file_path) != file_state
    }


def wait_for_traces(
    recording: Recording, before: FolderState, say: Say, servers: int = 1
) -> NewTraces:
    """Return the traces that are new or changed since `before`, once they are whole.

    Where it is not said how many there are to be, there is one of each server at least, and ranks
    of which the traces tell are waited for a little longer. Raises ServerError where too few appear
    or one is not written to its end in time.
    """
    needed = recording.ranks or servers
    time_now = unchanged_since = time.monotonic()
    deadline = time_now + recording.timeout
    last_state = before
    new_traces = NewTraces([], [])
    while time_now < deadline:
        current = folder_state(recording.traces)
        changed = changed_since(before, current)
        new_traces = _sorted_out(changed)
        if current != last_state:
            last_state = current
            unchanged_since = time_now
        elif len(new_traces.devices) >= needed and time_now - unchanged_since >= STABLE_S:
            if all(is_whole(file_path) for file_path in changed):
                missing = (
                    () if recording.ranks else missing_ranks(new_traces.devices, servers)
                )
                if not missing or time_now - unchanged_since >= LATE_RANK_S:
                    return new_traces._replace(missing=missing)
            else:
                unchanged_since = time_now
        total_bytes = sum(file_state.size for file_state in changed.values())
        say(
            f"waiting for the traces: {len(new_traces.devices)} so far, {total_bytes / 1e6:,.1f} MB"
        )
        time.sleep(POLL_S)
        time_now = time.monotonic()
    return _late(recording, new_traces, servers)


def missing_ranks(traces: Sequence[Path], servers: int = 1) -> tuple[int, ...]:
    """Return the ranks that wrote no trace, as far as the traces and their names tell.

    `servers` is how many jobs of as many ranks each they are of.
    """
    stated = [ranks_said.with_rank(path.name, _distributed(path)) for path in traces]
    job_size = max(map(ranks_said.world_size, stated), default=0)
    counts = Counter(said.get("rank") for said in stated)
    return tuple(rank for rank in range(job_size) if counts[rank] < servers)


def _distributed(path: Path) -> Mapping[str, Any]:
    """Return what a trace says of its rank before its events; nothing where it says nothing."""
    from idlescope.trace.damage import Damage
    from idlescope.trace.kineto.events import KinetoEvents

    try:
        text_before_events = KinetoEvents(path, Damage()).find_events()
        said = json.loads(text_before_events + b"]}", strict=False).get("distributedInfo")
    except (TraceError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _sorted_out(changed: FolderState) -> NewTraces:
    changed_paths = sorted(changed)
    devices = [
        trace_path for trace_path in changed_paths if FRONT_END not in trace_path.name
    ]
    left_out = [trace_path for trace_path in changed_paths if FRONT_END in trace_path.name]
    return NewTraces(devices, left_out)


def _late(recording: Recording, new: NewTraces, servers: int) -> NewTraces:
    """Return what there is at the deadline where it is whole; else raise ServerError."""
    needed = recording.ranks or servers
    within = f"in {recording.traces} within {recording.timeout:g} s"
    if not new.devices:
        where_to_look = WHERE[ServerEngine(recording.engine)]
        front_end = " but that of vLLM's front end" if new.left_out else ""
        raise ServerError(f"no trace appeared{front_end} {within}: {where_to_look}")
    if len(new.devices) < needed:
        raise ServerError(
            f"{len(new.devices)} of {needed} traces appeared {within}: {_which(new, servers)}"
            "is --ranks right? They are left there"
        )
    unfinished = next(
        (trace_path for trace_path in new.devices if not is_whole(trace_path)), None
    )
    if unfinished is not None:
        raise ServerError(
            f"{unfinished} was not written to its end within {recording.timeout:g} s: "
            "give a longer --timeout"
        )
    return new._replace(missing=missing_ranks(new.devices, servers))


def _which(new: NewTraces, servers: int) -> str:
    """Return which ranks wrote no trace; nothing where that is not known."""
    missing = missing_ranks(new.devices, servers)
    if not missing:
        return ""
    ranks = ", ".join(map(str, missing[: ranks_said.MOST_MISSING]))
    return f"{'rank' if len(missing) == 1 else 'ranks'} {ranks} wrote none; "


def is_whole(path: Path) -> bool:
    """Return whether a JSON file, compressed or not, was written to its end."""
    try:
        if path.suffix != ".gz":
            with path.open("rb") as zipped_file:
                zipped_file.seek(max(0, path.stat().st_size - 64))
                return zipped_file.read().rstrip().endswith((b"}", b"]"))
        limit_bytes = most_bytes(path.stat().st_size)
        unpacked_bytes = 0
        with gzip.open(path, "rb") as zipped_file:
            while chunk := zipped_file.read(CHUNK):
                unpacked_bytes += len(chunk)
                if unpacked_bytes > limit_bytes:  # what reads it will say so
                    break
        return unpacked_bytes > 0
    except (OSError, EOFError, zlib.error):
        return False
