"""What is said of real traces, each read and analysed once for all tests of a process."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import idlescope


@cache
def document_of(path: Path) -> dict[str, Any]:
    """Return the JSON of a trace's analysis; whoever changes it changes it for all."""
    return idlescope.analyze(idlescope.open(path)).to_json()
