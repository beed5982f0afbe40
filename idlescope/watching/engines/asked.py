"""Whether the environment asks for a watch: all that a plugin looks at in most processes."""

from __future__ import annotations

import os


def watching_is_asked_for() -> bool:
    """Return whether `IDLESCOPE_WATCH` is set to anything but off; `Settings` knows the rest."""
    return os.environ.get("IDLESCOPE_WATCH", "").strip().lower() not in ("", "0", "off")
