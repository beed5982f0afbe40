"""Of several recordings of one job in a folder one is looked at, and the others are named."""

from __future__ import annotations

import json

import pytest

import idlescope
from idlescope.analysis.ranks.asked import RankOptions
from idlescope.analysis.ranks.folder import analyze_folder
from idlescope.trace import ranks_folder
from idlescope.trace.ranks_recordings import RecordedFile, left_out
from tests.make.ranks import BASE_NS, Job, job, write

S = 1_000_000_000


def recorded(file, rank, start_s, world_size=2, length_s=5, events=100):
    start_ns = None if start_s is None else start_s * S
    end_ns = None if start_s is None else (start_s + length_s) * S
    return RecordedFile(
        file, {"rank": rank, "world_size": world_size}, events, start_ns, end_ns
    )


def kept(*files):
    rows = left_out(files).rows
    return [file.file for row, file in enumerate(files) if row not in rows]


def test_the_newest_of_two_whole_recordings_is_kept_and_the_other_named():
    old = [recorded("a0", 0, 10), recorded("a1", 1, 11)]
    new = [recorded("b0", 0, 610), recorded("b1", 1, 611)]
    assert kept(*old, *new) == ["b0", "b1"]
    (said,) = left_out([*old, *new]).sentences
    assert said.startswith(
        "a0 and a1 were left out: of another recording of the same ranks, 600.0 s earlier"
    )


def test_the_one_of_most_ranks_is_kept_though_it_is_older():
    assert kept(recorded("a0", 0, 10), recorded("b0", 0, 610), recorded("a1", 1, 11)) == [
        "a0",
        "a1",
    ]


def test_a_trace_that_is_there_twice_is_kept_once():
    files = [recorded("a0", 0, 10), recorded("copy of a0", 0, 10), recorded("a1", 1, 10)]
    assert kept(*files) == ["a0", "a1"]
    assert left_out(files).sentences == [
        "copy of a0 was left out: it is the same trace as a0"
    ]


@pytest.mark.parametrize(
    "files",
    [
        (recorded("a0", 0, 10), recorded("a1", 1, 610)),  # hosts whose clocks disagree
        (recorded("a0", 0, 10), recorded("b0", 0, 12)),  # servers at the same time
        (recorded("a0", 0, 10, world_size=1), recorded("b0", 0, 610, world_size=1)),
        (recorded("a0", 0, 10, world_size=1), recorded("b0", 0, 10, world_size=1)),
        (recorded("a0", 0, None), recorded("b0", 0, None)),  # no clock tells
    ],
)
def test_what_may_be_of_one_recording_is_kept(files):
    assert kept(*files) == [file.file for file in files]


def test_a_folder_of_two_recordings_is_judged_by_one(tmp_path, monkeypatch):
    monkeypatch.setenv("IDLESCOPE_CACHE", "off")
    late, even = job(Job(2, late_ns=(300_000, 0))), job(Job(2))
    write(tmp_path, late.events, ["1700-TP-0.json", "1700-TP-1.json"])
    write(
        tmp_path,
        even.events,
        ["1800-TP-0.json", "1800-TP-1.json"],
        baseTimeNanoseconds=BASE_NS + 600 * S,
    )
    together = idlescope.analyze(idlescope.open(tmp_path))
    apart = analyze_folder(
        tmp_path, ranks_folder.files(tmp_path), RankOptions("first-last", 0, frames=True)
    )
    for analysis in (together.to_json(), apart.to_json()):
        assert analysis["ranks"]["kind"] == "balanced"
        assert len(analysis["ranks"]["ranks"]) == 2
        assert any(
            "1700-TP-0.json and 1700-TP-1.json were left out" in text
            for text in analysis["warnings"]
        )
    assert json.dumps(together.to_json()["ranks"]) == json.dumps(apart.to_json()["ranks"])
