"""`idlescope convert`."""

from __future__ import annotations

import json

from tests.make.commands import idlescope, refused


def test_there_and_back(trace, tmp_path):
    for source, target in (
        (trace, "a.sqlite"),
        ("a.sqlite", "b.recording"),
        ("b.recording", "c.json.gz"),
    ):
        result = idlescope("convert", source, target, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert target in result.stdout
    first, last = (
        json.loads(idlescope("analyze", path, "--json", cwd=tmp_path).stdout)["devices"][0]
        for path in (trace, "c.json.gz")
    )
    assert first["cause_ns"] == last["cause_ns"]
    refused(idlescope("convert", trace, "c.json.gz", cwd=tmp_path), "is there already")
    refused(idlescope("convert", trace, "c.xml", cwd=tmp_path), "names no format")
    refused(idlescope("convert", trace, trace, "--force"), "is the trace itself")
