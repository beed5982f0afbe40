"""What a watch says of its recordings is read again, and nothing of another type."""

from __future__ import annotations

import pytest

from idlescope.trace.metadata import Metadata
from idlescope.trace.watch_said import NOT_WATCHED, WatchSaid, said_by_watch

SAID = WatchSaid(
    way="events",
    engine="sglang",
    engine_version="0.5.13",
    steps_begin_late=True,
    overlaps=True,
)


def test_what_is_said_is_read_again():
    assert said_by_watch(Metadata(extra=SAID.to_extra())) == SAID


@pytest.mark.parametrize(
    "changed",
    [
        {"source": "another"},
        {"way": ["events"]},
        {"steps_begin_late": "yes"},
        {"engine": 7},
    ],
)
def test_nothing_is_said_where_it_is_not_a_watchs_or_damaged(changed):
    assert said_by_watch(Metadata(extra=SAID.to_extra() | changed)) == NOT_WATCHED
