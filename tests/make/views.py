"""Views of one device made from a few events, without any file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import idlescope
from idlescope.analysis.measured import MeasuredDevice
from tests.make.kineto_files import write


def measured(folder: Path, events: list[dict[str, Any]], **options: Any) -> MeasuredDevice:
    """Return what the only device of some Kineto events did."""
    trace = idlescope.open(write(folder / "trace.json", events))
    (result,) = idlescope.analyze(trace, **options).results
    return result
