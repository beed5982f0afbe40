"""Events of Chrome's trace format as some profilers write it, decoded as a whole.

torch.profiler's files have a reader of their own (kineto/), which bears damage and any size.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from idlescope.errors import TraceError
from idlescope.trace.expansion import most_bytes, refuse_bomb
from idlescope.trace.json_crowds import refuse_crowd
from idlescope.trace.kineto.times import exact_ns

GZIP_MAGIC = b"\x1f\x8b"


class ChromeEvent(Struct, gc=False):
    """An event, as far as it is read; times are microseconds, which some tools write as text."""

    ph: str = ""
    pid: Any = 0
    tid: Any = 0
    name: str = ""
    cat: str = ""
    id: Any = None
    ts: Any = None
    dur: Any = None
    args: Any = None

    def argument(self, name: str) -> Any:
        """Return an argument; None where there is none."""
        return self.args.get(name) if isinstance(self.args, dict) else None


class TimedEvent(NamedTuple):
    """A complete event with its times in ns; None where they are no numbers."""

    event: ChromeEvent
    start: int | None
    end: int | None


class _Document(Struct):
    events: list[ChromeEvent] = msgspec.field(name="traceEvents")


def decoded(path: Path, instead: str) -> Sequence[ChromeEvent]:
    """Return the events of a file, a bare list or a document with one, packed by gzip or not.

    `instead` says what to do about a damaged file, for which TraceError is raised.
    """
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = _unpacked(path, content)
        refuse_crowd(path, content)
        if content.lstrip()[:1] == b"[":
            return msgspec.json.decode(content, type=list[ChromeEvent])
        return msgspec.json.decode(content, type=_Document).events
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError, EOFError, zlib.error) as error:
        raise TraceError(f"{path} is damaged ({error}): {instead}") from error


def _unpacked(path: Path, packed: bytes) -> bytes:
    """Return the content of a gzip file; raise TraceError where it is a bomb."""
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as packed_file:
        content = packed_file.read(most_bytes(len(packed)) + 1)
    refuse_bomb(path, len(packed), len(content))
    return content


def timed(events: Sequence[ChromeEvent]) -> list[TimedEvent]:
    """Return the complete events ("X") with their times in ns, exactly."""
    complete = [event for event in events if event.ph == "X"]
    starts = _times([event.ts for event in complete])
    lengths = _times([event.dur for event in complete])
    found = []
    for event, start, length in zip(complete, starts, lengths, strict=True):
        end = None if start is None or length is None else start + length
        found.append(TimedEvent(event, start, end))
    return found


def _times(times: list[Any]) -> list[int | None]:
    plain = [time if isinstance(time, (int, float, str)) else None for time in times]
    values, readable = exact_ns(plain, lambda: [str(time) for time in plain])
    return [
        value if is_readable else None
        for value, is_readable in zip(values.tolist(), readable.tolist(), strict=True)
    ]


def names_of(events: Sequence[ChromeEvent], kind: str, key: str = "name") -> dict[Any, str]:
    """Return what metadata events of a kind say: by pid of processes, by (pid, tid) of threads."""
    is_thread = kind.startswith("thread_")
    found = {}
    for event in events:
        if event.ph == "M" and event.name == kind:
            place = (event.pid, event.tid) if is_thread else event.pid
            found[str(place)] = str(event.argument(key) or "")
    return found
