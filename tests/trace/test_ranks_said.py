"""What is said of the traces of a folder: merged ones, ranks that are missing or there twice."""

from pathlib import Path

import idlescope
from idlescope.trace.ranks_said import doubtful_ranks, without_merged
from tests.make.ranks import Job, job, write


def test_a_merged_profile_beside_its_ranks_is_left_out_and_said(tmp_path):
    events = job(Job(2)).events
    names = ["1700-TP-0.trace.json", "1700-TP-1.trace.json"]
    write(tmp_path, events, names)
    (tmp_path / "merged-1700.trace.json").write_bytes((tmp_path / names[0]).read_bytes())
    trace = idlescope.open(tmp_path)
    assert len(trace.devices) == 2
    assert any(
        "merged-1700.trace.json was left out" in text for text in trace.meta.warnings
    )


def test_a_merged_profile_alone_is_a_trace():
    alone = [Path("merged-1.json")]
    assert without_merged(alone) == (alone, [])


def said(*numbers, size=4):
    return [
        (f"{row}.json", {"rank": one, "world_size": size})
        for row, one in enumerate(numbers)
    ]


def test_missing_ranks_and_two_files_of_one_are_said():
    assert doubtful_ranks(said(0, 1, 2, 3)) == []
    (missing,) = doubtful_ranks(said(0, 2))
    assert missing.startswith("of 4 ranks, 2 are here: rank 1, 3 missing")
    twice, _ = doubtful_ranks(said(1, 1))
    assert twice.startswith("0.json and 1.json both say that they are rank 1")
    assert "and 12 more" in doubtful_ranks(said(0, size=21))[0]
    assert doubtful_ranks([("a.json", {}), ("b.json", {"rank": "x"})]) == []
