"""`idlescope scrub`."""

from __future__ import annotations

import json

from tests.make.commands import idlescope, refused


def test_a_scrubbed_copy_says_what_was_removed(trace, tmp_path):
    result = idlescope("scrub", trace, tmp_path / "clean.json")
    assert result.returncode == 0, result.stderr
    assert "clean.json" in result.stdout
    before, after = (
        json.loads(idlescope("analyze", path, "--json").stdout)["devices"]
        for path in (trace, tmp_path / "clean.json")
    )
    for device in (*before, *after):
        del device["longest_gaps"]  # a name in them looks like a path, and is cut
    assert before == after
    refused(idlescope("scrub", trace, tmp_path / "clean.json"), "is there already")
