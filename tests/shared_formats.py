"""Real files of other tools, which lie beside the repository and are none of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "formats"
for place in (FOLDER, Path("/work/shared/formats")):
    if place.is_dir():
        FOLDER = place
        break


def real(name: str) -> Path:
    """Return a real file; skip the test where it is not there."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"{name} is not in ../shared/formats")
    return path
