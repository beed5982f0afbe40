"""A child process that ends with its parent, however that ends.

A parent that is killed can end no child itself, but the system closes its end of their pipe.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread


def end_with_parent() -> None:
    """End this process when its input does, which nobody writes to: the parent holds its end."""
    Thread(target=_wait_and_end, daemon=True).start()


def lines_of_parent() -> Iterator[bytes]:
    """Yield what the parent asks, a line each, without end: this process ends when its input does.

    That is also where it computes something meanwhile.
    """
    lines: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_follow, args=(lines,), daemon=True).start()
    while True:
        yield lines.get()


def _wait_and_end() -> None:
    while os.read(sys.stdin.fileno(), 1):  # sys.stdin itself could not be closed meanwhile
        pass
    os._exit(1)


def _follow(lines: SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(1)
