"""The README's pictures can be made."""

from __future__ import annotations

import msgspec
import pytest

from idlescope.experiment.document import Summary
from tests import screenshots


def test_the_terminals_picture_is_of_the_readmes_first_command():
    readme = (screenshots.ROOT / "README.md").read_text(encoding="utf-8")
    assert f"&& idlescope {' '.join(screenshots.FIRST_COMMAND)}" in readme
    summary = msgspec.json.decode(screenshots.FIRST_SUMMARY.read_bytes(), type=Summary)
    assert (summary.config["model"], summary.config["tokens"]) == ("8b", 8000)
    host = summary.published_host.with_its_device_idle_pct
    assert f"{host['sync']:.1f} % → {host['async']:.1f} %" in summary.verdict


@pytest.mark.browser
def test_they_are_made(chromium, tmp_path):
    paths = screenshots.take(chromium, tmp_path)
    committed = screenshots.ROOT / "reports" / "screenshots"
    assert {path.name for path in paths} == {path.name for path in committed.iterdir()}
    assert all(path.stat().st_size > 20_000 for path in paths)
