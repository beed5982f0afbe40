"""The trace files that a server writes: which are new, and when they are whole."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from idlescope.capture.server.address import ServerEngine
from idlescope.capture.server.recording import Recording
from idlescope.errors import ServerError
from idlescope.trace import unprofiled
from idlescope.trace.expansion import most_bytes

SUFFIXES = (".json", ".json.gz")  # of what torch.profiler writes
FRONT_END = ".async_llm."  # in the name of what vLLM's API server writes of itself: no GPU
STABLE_S = 2.0  # files that have not grown for so long are taken to be written
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


def wait_for_traces(recording: Recording, before: FolderState, say: Say) -> NewTraces:
    """Return the traces that are new or changed since `before`, once they are whole.

    Raises ServerError where too few appear or one is not written to its end in time.
    """
    needed = recording.ranks or 1
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
                return new_traces
            unchanged_since = time_now
        total_bytes = sum(file_state.size for file_state in changed.values())
        say(
            f"waiting for the traces: {len(new_traces.devices)} so far, {total_bytes / 1e6:,.1f} MB"
        )
        time.sleep(POLL_S)
        time_now = time.monotonic()
    return _late(recording, new_traces)


def _sorted_out(changed: FolderState) -> NewTraces:
    changed_paths = sorted(changed)
    devices = [
        trace_path for trace_path in changed_paths if FRONT_END not in trace_path.name
    ]
    left_out = [trace_path for trace_path in changed_paths if FRONT_END in trace_path.name]
    return NewTraces(devices, left_out)


def _late(recording: Recording, new: NewTraces) -> NewTraces:
    """Return what there is at the deadline where it is whole; else raise ServerError."""
    needed = recording.ranks or 1
    within = f"in {recording.traces} within {recording.timeout:g} s"
    if not new.devices:
        where_to_look = WHERE[ServerEngine(recording.engine)]
        front_end = " but that of vLLM's front end" if new.left_out else ""
        raise ServerError(f"no trace appeared{front_end} {within}: {where_to_look}")
    if len(new.devices) < needed:
        raise ServerError(
            f"{len(new.devices)} of {needed} traces appeared {within}: "
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
    return new


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
