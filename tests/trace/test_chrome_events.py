"""Chrome's trace format as some profilers write it: bounds, whatever is in it."""

from __future__ import annotations

import gzip
import json

import pytest

from idlescope.errors import TraceError
from idlescope.trace import expansion, json_crowds
from idlescope.trace.chrome_events import decoded, timed


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(expansion, "EXPANSION_CHECKED_FROM", 1 << 20)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"[" + b" " * (16 << 20)))
    with pytest.raises(TraceError, match="unpacks to over 250 times"):
        decoded(tmp_path / "a.json.gz", "")


def test_more_objects_than_fit_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(json_crowds, "MOST_OBJECTS", 5)
    (tmp_path / "a.json").write_text(json.dumps([{}] * 6))
    with pytest.raises(TraceError, match="more than can be read at once"):
        decoded(tmp_path / "a.json", "")


@pytest.mark.parametrize(
    ("ts", "start"),
    [
        (1.5, 1_500), ("1.5", 1_500), ("1699529623106750.123", 1_699_529_623_106_750_123), (7, 7_000),
        ("x", None), (None, None), ([], None), ({}, None), ("nan", None), (True, 1_000),
    ],
)  # fmt: skip
def test_times_are_exact_or_none(tmp_path, ts, start):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"ph": "X", "ts": ts, "dur": 0.25}, {"ph": "i"}]))
    ((_, found, end),) = timed(decoded(path, ""))
    assert (found, end) == (start, None if start is None else start + 250)
