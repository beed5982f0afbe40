"""A Trace as bytes is the same Trace, in another process, too."""

from __future__ import annotations

from hypothesis import given, settings

from idlescope.trace.recording.as_bytes import packed, unpacked
from tests.make.deep import of
from tests.make.traces import any_trace, records


@settings(max_examples=of(10, deep=30))
@given(any_trace())
def test_any_trace_comes_back(made):
    again = unpacked(packed(made))
    assert (again.names, again.devices) == (made.names, made.devices)
    assert (again.streams, again.threads) == (made.streams, made.threads)
    assert again.meta.to_json() == made.meta.to_json()
    assert records(again, str) == records(made, str)
