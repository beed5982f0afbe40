"""Of many ranks a report shows few in detail, as it would with all of their traces at hand."""

from __future__ import annotations

import pytest

import idlescope
from idlescope.analysis.ranks.asked import RankOptions
from idlescope.analysis.ranks.folder import analyze_folder
from idlescope.analysis.ranks.in_detail import in_detail, rows_in_detail
from idlescope.trace import ranks_folder
from tests.make.ranks import Job, job, write

OPTIONS = RankOptions(window="first-last", min_gap_ns=0, frames=True)
RANKS, LATE, WAITS = (
    10,
    6,
    8,
)  # how many; whom the others wait for; who alone waits for tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    late_ns = tuple(400_000 * (rank == LATE) for rank in range(RANKS))
    longer_ns = tuple(10_000 * rank for rank in range(RANKS))
    events = job(Job(RANKS, late_ns=late_ns, longer_ns=longer_ns)).events
    for rank, of_rank in enumerate(events):
        if rank != WAITS:
            of_rank[:] = [one for one in of_rank if "Synchronize" not in one["name"]]
    return write(tmp_path_factory.mktemp("ranks"), events)


@pytest.fixture(scope="module")
def found(folder):
    return analyze_folder(folder, ranks_folder.files(folder), OPTIONS)


@pytest.fixture(scope="module")
def whole(folder):
    return idlescope.analyze(idlescope.open(folder))


def test_the_late_rank_is_among_the_few(found):
    rows = rows_in_detail(found.group)
    assert LATE in rows
    assert len(rows) <= 3


def test_they_are_what_they_are_among_all(found, whole):
    details = in_detail(found, OPTIONS)
    rows = rows_in_detail(found.group)
    shown = [result.to_json() for result in details.results]
    assert shown == [whole.results[row].to_json() for row in rows]
    assert details.group is found.group


def test_only_their_files_are_read_again(found, monkeypatch):
    from idlescope.analysis.ranks import in_detail as module

    read = []
    open_trace = module.open_trace
    monkeypatch.setattr(
        module,
        "open_trace",
        lambda path, **options: read.append(path) or open_trace(path, **options),
    )
    in_detail(found, OPTIONS)
    assert 1 <= len(read) <= 5
