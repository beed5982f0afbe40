"""The README's pictures can be made."""

from __future__ import annotations

import pytest

from tests import screenshots

pytestmark = pytest.mark.browser


def test_they_are_made(chromium, tmp_path):
    paths = screenshots.take(chromium, tmp_path)
    committed = screenshots.ROOT / "reports" / "screenshots"
    assert {path.name for path in paths} == {path.name for path in committed.iterdir()}
    assert all(path.stat().st_size > 20_000 for path in paths)
