"""One deadline for a whole answer, however its bytes trickle in.

A socket's own timeout is for each read: a server that sends a byte per second, or `100 Continue`
for ever, would keep one waiting without end.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Deadline:
    """Shuts the connection that it watches down when it is over, which ends whatever reads it."""

    def __init__(self) -> None:
        self.is_over = False
        self._watched: socket.socket | None = None

    def connect(self, *where: object) -> socket.socket:
        """Connect as `socket.create_connection` does, and watch the connection."""
        connection = socket.create_connection(*where)  # type: ignore[arg-type]
        # encryption takes the socket itself over
        self._watched = connection.dup()
        return connection

    def end(self) -> None:
        """Note that the time is over."""
        self.is_over = True
        if self._watched is not None:
            with suppress(OSError):  # it has ended in the meantime
                self._watched.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Watch no longer."""
        if self._watched is not None:
            self._watched.close()


@contextmanager
def cut_off(seconds: float) -> Iterator[Deadline]:
    """Yield a deadline so many seconds from now, for the block."""
    deadline = Deadline()
    timer = threading.Timer(seconds, deadline.end)
    timer.daemon = True
    timer.start()
    try:
        yield deadline
    finally:
        timer.cancel()
        deadline.close()
