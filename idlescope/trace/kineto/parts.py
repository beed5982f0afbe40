"""Read a Kineto file in one part, or a large one in as many as there are cores.

Decoding is most of an analysis's time. The first part is read here, each other one in a process of
its own, which writes its Part to its output (part_bytes.py): a copy of this process, or this
module, run as a program with PATH START END FRAMES OWN (END is empty for the last).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from idlescope.children.cores import usable_cores
from idlescope.children.forked import may_fork
from idlescope.children.lifeline import end_with_parent
from idlescope.children.start import Child, close, command, copy_or_program
from idlescope.errors import TraceError
from idlescope.trace.damage import Damage
from idlescope.trace.kineto.bytes import GZIP_MAGIC
from idlescope.trace.kineto.columns import Builder, Part
from idlescope.trace.kineto.events import KinetoEvents, event_boundary
from idlescope.trace.kineto.part_bytes import PartBytesError, packed, packed_error, unpacked
from idlescope.trace.kineto.records import decode_list
from idlescope.trace.kineto.typed_events import TypedDecoder

PART_BYTES = 32 << 20  # of less, a process of its own costs more than it saves
# The first part is longer than the others by so much: their processes have to send, and to start
# where they are no copies.
AHEAD_SHARE = 0.14  # of the file
MOST_AHEAD_BYTES = 48 << 20
COPIES_AHEAD_SHARE = 0.08
BOUNDARY_BYTES = 1 << 20  # searched for the start of an event

Progress = Callable[[int], None]


class Reading(NamedTuple):
    """What is read of a file."""

    path: Path
    frames: bool  # operators and Python frames, too
    own: bool  # idlescope wrote it


def read_parts(reading: Reading, progress: Progress | None) -> list[Part]:
    """Return the parts of a file, in order.

    `progress` is called with the number of events read so far. Raises TraceError where the file
    cannot be read, or is no Kineto trace.
    """
    starts = _starts(reading.path)
    ends: list[int | None] = [*starts[1:], None]
    if len(starts) == 1:
        return [read_part(reading, 0, None, progress)]
    with ExitStack() as running:
        children = [
            running.enter_context(_own_process(reading, start, end))
            for start, end in zip(starts[1:], ends[1:], strict=True)
        ]
        parts = [read_part(reading, 0, ends[0], progress)]
        # One after the other: what the later ones have to send waits in them.
        for child, start, end in zip(children, starts[1:], ends[1:], strict=True):
            part = _sent_part(child)
            parts.append(read_part(reading, start, end) if part is None else part)
    return parts


def _sent_part(child: Child) -> Part | None:
    """Return the part that a process sends; None where there is no second process to be had."""
    sent = child.stdout.read() if child.stdout else b""
    if child.wait() != 0:
        return None
    try:
        return unpacked(sent)
    except PartBytesError:
        return None


def read_part(
    reading: Reading, start: int, end: int | None, progress: Progress | None = None
) -> Part:
    """Return the events from byte `start` up to byte `end` as columns.

    `start` is the byte of an event, or 0 for that of the file; without `end`, the part reaches to
    the end of the file.
    """
    damage = Damage()
    decode = decode_list if reading.own else TypedDecoder(reading.frames)
    events = KinetoEvents(reading.path, damage, start, end, decode)
    builder = Builder(damage, reading.frames, reading.own)
    with _no_collector():
        for batch in events:
            builder.add(batch)
            if progress is not None:
                progress(builder.events)
    return builder.part(events.metadata)


@contextmanager
def _own_process(reading: Reading, start: int, end: int | None) -> Iterator[Child]:
    """Read a part of a file in a process of its own, which is killed where the block fails."""
    words = command(
        "idlescope.trace.kineto.parts",
        str(reading.path.resolve()),
        str(start),
        "" if end is None else str(end),
        str(int(reading.frames)),
        str(int(reading.own)),
    )
    child = copy_or_program(lambda: _send_part(reading, start, end), words)
    try:
        yield child
    except BaseException:
        child.kill()
        raise
    finally:
        close(child)


def _starts(path: Path) -> list[int]:
    """Return the byte at which each part starts: 0, then bytes at which an event does."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            is_packed = file.read(2) == GZIP_MAGIC
            count = 1 if is_packed else min(usable_cores(), size // PART_BYTES)
            starts = [0]
            for about in _cuts(size, count):
                file.seek(about)
                found = event_boundary(file.read(BOUNDARY_BYTES), about)
                if found is not None:
                    starts.append(found)
            return starts
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error


def _cuts(size: int, count: int) -> list[int]:
    """Return about where a file of some size is cut into so many parts."""
    if count < 2:
        return []
    share = COPIES_AHEAD_SHARE if may_fork() else AHEAD_SHARE
    ahead = int(min(share * size, MOST_AHEAD_BYTES))
    each = (size - ahead) // count
    return [ahead + each * part for part in range(1, count)]


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the garbage collector from walking millions of short-lived events without cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _send_part(reading: Reading, start: int, end: int | None) -> None:
    """Read a part and write it to the output of this process, which ends with its parent."""
    end_with_parent()
    try:
        part = read_part(reading, start, end)
        part.join()
        pieces = packed(part)
    except TraceError as error:
        pieces = packed_error(error)
    for piece in pieces:
        sys.stdout.buffer.write(piece)


def _main() -> None:
    path, start, end, frames, own = sys.argv[1:]
    reading = Reading(Path(path), frames == "1", own == "1")
    _send_part(reading, int(start), int(end) if end else None)


if __name__ == "__main__":
    _main()
