"""Read a Kineto file in one part, or its second half in a process of its own: decoding is most of an analysis's time.

`python -m idlescope.trace.kineto.parts PATH START FRAMES OWN` is that process; it writes its Part to its output.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace.damage import Damage
from idlescope.trace.kineto.bytes import GZIP_MAGIC, Source
from idlescope.trace.kineto.columns import Builder, Part
from idlescope.trace.kineto.events import KinetoEvents, event_boundary

SPLIT_BYTES = 64 << 20  # below this a second process costs more than it saves
OWN_SHARE = 0.57  # of the file for this process: the other has to start and to send


def read_parts(path: Path, frames: bool, progress: Callable[[int], None] | None) -> list[Part]:
    """Return the parts of a file, in order. `progress` is called with the number of events read so far."""
    head = next(iter(Source(path)), b"")
    own = b'"idlescope"' in head
    middle = _middle(path)
    if middle is None:
        return [read_part(path, 0, None, frames, own, progress)]
    arguments = [str(path.resolve()), str(middle), str(int(frames)), str(int(own))]
    package = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH")) if p),
    }
    with subprocess.Popen(  # noqa: S603 - our own module, with arguments that no shell sees
        [sys.executable, "-m", "idlescope.trace.kineto.parts", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environment,
    ) as child:  # fmt: skip
        try:
            first = read_part(path, 0, middle, frames, own, progress)
            sent = child.stdout.read() if child.stdout else b""
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:  # no second process to be had: read the rest here
        return [first, read_part(path, middle, None, frames, own, progress)]
    second = pickle.loads(sent)  # noqa: S301 - written by our own process
    if isinstance(second, TraceError):
        raise second
    return [first, second]


def read_part(
    path: Path,
    start: int,
    end: int | None,
    frames: bool,
    own: bool,
    progress: Callable[[int], None] | None = None,
) -> Part:
    """Return the events from byte `start`, that of an event or of the file, up to byte `end` as columns."""
    damage = Damage()
    events = KinetoEvents(path, damage, start, end)
    builder = Builder(damage, frames, own)
    with _no_collector():
        for batch in events:
            builder.add(batch)
            if progress is not None:
                progress(builder.events)
    return builder.part(events.metadata)


def _middle(path: Path) -> int | None:
    """Return the byte near the middle at which an event starts; None where the file is better read in one part."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
            if packed or size < SPLIT_BYTES or (os.cpu_count() or 1) < 2:
                return None
            start = int(size * OWN_SHARE)
            file.seek(start)
            return event_boundary(file.read(1 << 20), start)
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the garbage collector from walking millions of short-lived events, none of which is in a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _main() -> None:
    path, start, frames, own = sys.argv[1:]
    try:
        result: Part | TraceError = read_part(
            Path(path), int(start), None, frames == "1", own == "1"
        )
        if isinstance(result, Part):
            result.join()
    except TraceError as error:
        result = error
    pickle.dump(result, sys.stdout.buffer, 5)


if __name__ == "__main__":
    _main()
