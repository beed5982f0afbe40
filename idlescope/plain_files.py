"""Files of a user, read only where that comes to an end.

A pipe waits for who writes into it, a device may go on for ever, and so may a file that the kernel
makes up while it is read (`/proc/kmsg`): those say that they have no length.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

MOST_BYTES = 1 << 30  # of what is read whole


class NotPlainError(OSError):
    """A path at which there is nothing that can be read to its end."""

    def __str__(self) -> str:
        """Return what is there instead, without the number that the system has for it."""
        return str(self.strerror)


def plain_size(path: Path) -> int:
    """Return the bytes of a file. Raises NotPlainError, and OSError where there is nothing."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise NotPlainError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise NotPlainError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    return status.st_size


def read_plain(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return what is in a file. Raises as `plain_size` does, also where there is far too much."""
    size = plain_size(path)
    if size > most_bytes:
        reason = f"it is larger than {most_bytes >> 20} MB"
        raise NotPlainError(errno.EFBIG, reason, str(path))
    return path.read_bytes() if size else b""
