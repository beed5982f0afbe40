"""Have a running server record itself with its own profiler, and wait for the traces that it writes.

vLLM (docs.vllm.ai, Profiling vLLM) and SGLang (docs.sglang.io, Benchmark and Profiling) both take POST /start_profile
and /stop_profile. Only the address that was named is contacted: no proxy, no redirect.
"""

from __future__ import annotations

import gzip
import json
import math
import shlex
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from idlescope.errors import ConfigError, ServerError

SUFFIXES = (".json", ".json.gz")  # of what torch.profiler writes
STABLE_S = 2.0  # files that have not grown for so long are taken to be written
POLL_S = 0.1
CONNECT_S = 10.0
MESSAGE = 200  # characters of a server's answer that are repeated
ENABLE = {
    "vllm": """start vLLM with --profiler-config '{"profiler": "torch", "torch_profiler_dir": "DIR"}', older ones """
    "with VLLM_TORCH_PROFILER_DIR=DIR in its environment",
    "sglang": "is this SGLang's own address, not a router's?",
}
WHERE = {
    "vllm": "give --traces the folder of the server's torch_profiler_dir (VLLM_TORCH_PROFILER_DIR)",
    "sglang": "the server must see the folder under the same path, and be allowed to write to it",
}
Say = Callable[[str], None]
State = dict[Path, tuple[int, int]]  # of files: size in bytes, time of the last change in ns


class NotStartedError(ServerError):
    """The server was not reached, or answered that it does not start its profiler: there is nothing to stop."""


@dataclass(frozen=True)
class Recording:
    """What is to be recorded. Raises ConfigError, one clear sentence, where that cannot be."""

    url: str
    engine: str  # vllm or sglang
    traces: Path  # where the server writes, as seen from here
    seconds: float = 5.0
    ranks: int | None = None  # trace files to wait for; until no more appear where None
    timeout: float = 300.0  # seconds for each answer, and for the files

    def __post_init__(self) -> None:
        if self.engine not in ENABLE:
            raise ConfigError(f"--engine is {self.engine}: give vllm or sglang")
        for option, value in (("seconds", self.seconds), ("timeout", self.timeout)):
            if not (math.isfinite(value) and 0 < value <= 86_400):
                raise ConfigError(
                    f"--{option} is {value:g}: give more than 0 seconds, and a day at most"
                )
        if self.ranks is not None and self.ranks < 1:
            raise ConfigError(f"--ranks is {self.ranks}: give 1 or more")
        _ = self.address
        if not self.traces.is_dir():
            raise ConfigError(
                f"{self.traces} is no folder: give --traces the one that the server writes its traces to"
            )

    @cached_property
    def address(self) -> SplitResult:
        """The parts of the URL."""
        try:
            parts = urlsplit(self.url)
            ok = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            ok = False
        if not ok or not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            raise ConfigError(
                f"{self.url} is no address of a server: give one like http://localhost:8000"
            )
        if parts.query or parts.fragment or parts.username is not None:
            raise ConfigError(
                f"{parts.hostname}: give the address without user, query and fragment"
            )
        return parts

    def endpoint(self, name: str) -> str:
        """Return the URL of an endpoint."""
        return f"{self.url.rstrip('/')}/{name}"

    @property
    def by_hand(self) -> str:
        """How to stop the server's profiler without idlescope."""
        return shlex.join(["curl", "-X", "POST", self.endpoint("stop_profile")])


def record(recording: Recording, say: Say) -> list[Path]:
    """Have the server record, and return the traces that it wrote, by name; `say` is called with what is done.

    The server's profiler is stopped on the way out, whatever happens, unless the server refused to start it: then
    another's recording may be running. Raises ServerError.
    """
    before = state(recording.traces)
    profile(recording, say)
    return wait(recording, before, say)


def profile(recording: Recording, say: Say) -> None:
    """Start the server's profiler, wait, stop it. Raises ServerError."""
    body: dict[str, object] | None = None
    if recording.engine == "sglang":
        body = {"output_dir": str(recording.traces.resolve()), "activities": ["CPU", "GPU"]}
    say("starting the server's profiler")
    try:
        _post(recording, "start_profile", body)
        end = time.monotonic() + recording.seconds
        while (left := end - time.monotonic()) > 0:
            say(f"recording: {left:.0f} s left")
            time.sleep(min(left, POLL_S))
    except NotStartedError:
        raise
    except BaseException as cause:
        try:
            stop(recording, say)
        except ServerError as error:
            if isinstance(cause, KeyboardInterrupt):
                error.exit_code = 130
            raise
        raise
    stop(recording, say)


def stop(recording: Recording, say: Say) -> None:
    """Stop the server's profiler. Raises ServerError, which says how to do that by hand."""
    say("stopping the server's profiler, which writes its traces")
    try:
        _post(recording, "stop_profile")
    except ServerError as error:
        raise ServerError(
            f"{error}; if the server still runs, stop its profiler with: {recording.by_hand}"
        ) from error


def _post(recording: Recording, name: str, body: dict[str, object] | None = None) -> None:
    url, address, timeout = recording.endpoint(name), recording.address, recording.timeout
    kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=min(CONNECT_S, timeout))
    try:
        try:
            connection.connect()
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else error.strerror or error
            raise NotStartedError(
                f"{recording.url} cannot be reached: {why}; is the server running there?"
            ) from error
        connection.sock.settimeout(timeout)
        data, headers = (
            (b"", {})
            if body is None
            else (json.dumps(body).encode(), {"Content-Type": "application/json"})
        )
        connection.request("POST", urlsplit(url).path, data, headers)
        with connection.getresponse() as response:
            status, text = response.status, response.read(16 * MESSAGE).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        late = isinstance(error, TimeoutError)
        why = (
            f" within {timeout:g} s: give a longer --timeout"
            if late
            else ": the server ended the connection"
        )
        raise ServerError(f"{url} was not answered{why}") from error
    finally:
        connection.close()
    if status == 404:
        raise NotStartedError(f"{url} is not there (404): {ENABLE[recording.engine]}")
    if not 200 <= status < 300:
        message = " ".join(text.split()) or response.reason
        shown = message if len(message) <= MESSAGE else f"{message[: MESSAGE - 1]}…"
        raise NotStartedError(f"{url} was refused with status {status}: {shown}")


def state(folder: Path) -> State:
    """Return the trace files in a folder as they are now. Raises ServerError where it cannot be read."""
    found: State = {}
    try:
        for path in folder.iterdir():
            if path.name.endswith(SUFFIXES) and path.is_file():
                stat = path.stat()
                found[path] = (stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:  # renamed while we looked, or the folder went away
        if folder.is_dir():
            return found
        raise ServerError(f"{folder} is gone: the traces cannot be found") from None
    except OSError as error:
        raise ServerError(f"{folder} cannot be read: {error.strerror or error}") from error
    return found


def wait(recording: Recording, before: State, say: Say) -> list[Path]:
    """Return the traces that are new or changed since `before`, by name, once they are whole. Raises ServerError."""
    folder, needed = recording.traces, recording.ranks or 1
    now = time.monotonic()
    deadline, since, last = now + recording.timeout, now, before
    new: State = {}
    while now < deadline:
        current = state(folder)
        new = {path: what for path, what in current.items() if before.get(path) != what}
        if current != last:
            last, since = current, now
        elif len(new) >= needed and now - since >= STABLE_S:
            if all(whole(path) for path in new):
                return sorted(new)
            since = now
        size = sum(size for size, _ in new.values())
        say(f"waiting for the traces: {len(new)} so far, {size / 1e6:,.1f} MB")
        time.sleep(POLL_S)
        now = time.monotonic()
    within = f"in {folder} within {recording.timeout:g} s"
    if not new:
        raise ServerError(f"no trace appeared {within}: {WHERE[recording.engine]}")
    if len(new) < needed:
        raise ServerError(
            f"{len(new)} of {needed} traces appeared {within}: is --ranks right? They are left there"
        )
    half = next((path for path in sorted(new) if not whole(path)), None)
    if half is not None:
        raise ServerError(
            f"{half} was not written to its end within {recording.timeout:g} s: give a longer --timeout"
        )
    return sorted(new)


def whole(path: Path) -> bool:
    """Return whether a JSON file, compressed or not, was written to its end."""
    try:
        if path.suffix != ".gz":
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 64))
                return file.read().rstrip().endswith((b"}", b"]"))
        last = b""
        with gzip.open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                last = chunk
        return bool(last)
    except (OSError, EOFError, zlib.error):
        return False
