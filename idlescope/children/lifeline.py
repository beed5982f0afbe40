"""A child process that ends with its parent, however that ends."""

from __future__ import annotations

import os
import sys
from threading import Thread


def end_with_parent() -> None:
    """End this process when its input does, which nobody writes to: its parent holds the other end.

    A parent that is killed can end no child itself.
    """
    Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)
