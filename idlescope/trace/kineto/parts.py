"""Read a Kineto file in one part, or its second half in a process of its own.

Decoding is most of an analysis's time. This module, run as a program with PATH START FRAMES OWN, is
the second process; it writes its Part to its output (part_bytes.py).
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from idlescope.children.start import command
from idlescope.errors import TraceError
from idlescope.trace.damage import Damage
from idlescope.trace.kineto.bytes import GZIP_MAGIC
from idlescope.trace.kineto.columns import Builder, Part
from idlescope.trace.kineto.events import KinetoEvents, event_boundary
from idlescope.trace.kineto.part_bytes import PartBytesError, packed, packed_error, unpacked

SPLIT_BYTES = 64 << 20  # below this a second process costs more than it saves
FIRST_SHARE = 0.57  # of the file for this process: the other has to start and to send
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
    middle = _middle(reading.path)
    if middle is None:
        return [read_part(reading, 0, None, progress)]
    with _second_process(reading, middle) as child:
        try:
            first = read_part(reading, 0, middle, progress)
            sent = child.stdout.read() if child.stdout else b""
        except BaseException:
            child.kill()
            raise
    try:
        if child.returncode == 0:
            return [first, unpacked(sent)]
    except PartBytesError:
        pass
    # no second process to be had: read the rest here
    return [first, read_part(reading, middle, None, progress)]


def read_part(
    reading: Reading, start: int, end: int | None, progress: Progress | None = None
) -> Part:
    """Return the events from byte `start` up to byte `end` as columns.

    `start` is the byte of an event, or 0 for that of the file; without `end`, the part reaches to
    the end of the file.
    """
    damage = Damage()
    events = KinetoEvents(reading.path, damage, start, end)
    builder = Builder(damage, reading.frames, reading.own)
    with _no_collector():
        for batch in events:
            builder.add(batch)
            if progress is not None:
                progress(builder.events)
    return builder.part(events.metadata)


def _second_process(reading: Reading, start: int) -> subprocess.Popen[bytes]:
    """Start reading a file from a byte on in a process of its own."""
    arguments = [
        str(reading.path.resolve()),
        str(start),
        str(int(reading.frames)),
        str(int(reading.own)),
    ]
    return subprocess.Popen(  # noqa: S603 - our own module, with arguments that no shell sees
        command("idlescope.trace.kineto.parts", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )


def _middle(path: Path) -> int | None:
    """Return the byte near the middle at which an event starts.

    None where the file is better read in one part.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
            if packed or size < SPLIT_BYTES or (os.cpu_count() or 1) < 2:
                return None
            start = int(size * FIRST_SHARE)
            file.seek(start)
            return event_boundary(file.read(BOUNDARY_BYTES), start)
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error


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


def _main() -> None:
    path, start, frames, own = sys.argv[1:]
    reading = Reading(Path(path), frames == "1", own == "1")
    try:
        part = read_part(reading, int(start), None)
        part.join()
        pieces = packed(part)
    except TraceError as error:
        pieces = packed_error(error)
    for piece in pieces:
        sys.stdout.buffer.write(piece)


if __name__ == "__main__":
    _main()
