"""A folder of traces is a set of ranks; a merged file holds several processes; arrows link where ids are missing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import idlescope
from idlescope.errors import TraceError
from idlescope.trace import formats, ranks_folder
from idlescope.trace.open import open_trace
from idlescope.trace.other_tools import READ_TOOLS
from tests.make.kineto_files import call, document, operation, span, write

RANK = [call(0, 100, 1), operation(200, 300, correlation=1), call(500, 600, 2), operation(700, 800, correlation=2),
        span(0, 1000, "ProfilerStep#1")]  # fmt: skip


def figures(path):
    return [
        (
            d["process"],
            d["device"],
            d["idle_ns"],
            d["cause_ns"]["host"],
            d["coverage"]["linked_pct"],
        )
        for d in idlescope.analyze(open_trace(path)).to_json()["devices"]
    ]


def rank(path, number, base, events=RANK):
    path.write_text(
        json.dumps(
            document(events, distributedInfo={"rank": number}, baseTimeNanoseconds=base)
        )
    )


def test_each_file_is_a_rank_with_its_own_ids(tmp_path):
    rank(tmp_path / "a.json", 0, 10**18)
    rank(tmp_path / "b.json", 1, 10**18 + 5_000)
    assert figures(tmp_path) == [
        ("rank 0", 0, 400, 200, 100.0),
        ("rank 1", 0, 400, 200, 100.0),
    ]
    trace = open_trace(tmp_path)
    assert trace.meta.events == 10
    assert trace.operations.start.tolist() == [200, 700, 5200, 5700]  # on one clock


def test_files_that_state_no_rank_go_by_their_names(tmp_path):
    write(tmp_path / "one.json", RANK)
    write(tmp_path / "two.json.gz", RANK)
    (tmp_path / "notes.txt").write_text("no trace")
    assert [f[0] for f in figures(tmp_path)] == ["one.json", "two.json.gz"]
    (device,) = idlescope.analyze(open_trace(tmp_path), process="two").results
    assert device.device.process_name == "two.json.gz"


def test_formats_may_be_mixed(tmp_path):
    from idlescope.export.convert import convert

    write(tmp_path / "a.json", RANK)
    for target in ("b.sqlite", "c.recording"):
        convert(tmp_path / "a.json", tmp_path / target)
    got = figures(tmp_path)
    assert [f[1:] for f in got] == [(0, 400, 200, 100.0)] * 3
    assert open_trace(tmp_path).meta.format == "kineto, nsys, recording"


def test_one_file_in_a_folder_is_that_file(tmp_path):
    write(tmp_path / "a.json", RANK)
    assert figures(tmp_path) == figures(tmp_path / "a.json")


def test_what_one_rank_lost_is_said_of_all(tmp_path):
    rank(tmp_path / "a.json", 0, 10**18)
    (tmp_path / "b.json").write_text(json.dumps(document(RANK))[:-300])
    trace = open_trace(tmp_path)
    assert trace.meta.truncated
    assert all(w.startswith("b.json: ") for w in trace.meta.warnings)


def test_a_folder_without_traces(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(TraceError, match=r"holds no traces, .* give a recording"):
        open_trace(tmp_path)


def test_all_endings_are_in_the_readme_and_few_in_the_message():
    readme = (Path(formats.__file__).parent / "README.md").read_text()
    assert all(f"`{suffix}`" in readme for suffix in formats.suffixes())
    assert len(READ_TOOLS) < 200


def test_a_file_that_is_no_trace_is_left_out_and_said(tmp_path):
    rank(tmp_path / "a.json", 0, 10**18)
    (tmp_path / "config.json").write_text('{"lr": 1}')
    assert len(figures(tmp_path)) == 1
    rank(tmp_path / "b.json", 1, 10**18)
    assert [f[0] for f in figures(tmp_path)] == ["rank 0", "rank 1"]
    (warning,) = open_trace(tmp_path).meta.warnings
    assert warning.startswith("config.json was left out: ")
    for name in "ab":
        (tmp_path / f"{name}.json").unlink()
    with pytest.raises(TraceError, match=r"config\.json"):
        open_trace(tmp_path)


def test_forms_of_one_nsight_trace_are_one(tmp_path):
    for name in ("a.sqlite", "a.nsys-rep", "b.nsys-rep", "c.nsys-rep", "c.json"):
        (tmp_path / name).touch()
    for name in ("a_pqtdir", "b.parquet", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "StringIds.parquet").touch()
        (tmp_path / name / "CUPTI_ACTIVITY_KIND_KERNEL.parquet").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "meta.json").touch()
    assert [p.name for p in ranks_folder.files(tmp_path)] == [
        "a",
        "a.sqlite",
        "b.parquet",
        "c",
        "c.json",
    ]


def test_ranks_without_a_common_clock_say_so(tmp_path):
    rank(tmp_path / "a.json", 0, 10**18)
    rank(tmp_path / "b.json", 1, 10**18)
    assert not open_trace(tmp_path).meta.clocks_apart
    rank(tmp_path / "c.json", 2, None)
    assert open_trace(tmp_path).meta.clocks_apart is True


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TraceError, match="a pipe or a device, not a file"):
        open_trace(tmp_path / "pipe")


class TestMergedFile:
    """Two processes in one file whose correlation ids collide: each GPU goes with the process that launched for it."""

    def merged(self, tmp_path, shift=5000):
        events = []
        for n, pid in enumerate((50, 60)):
            for e in RANK:
                at = {**e, "ts": e["ts"] + n * shift / 1000}
                at["pid"] = pid if e["cat"] != "kernel" else n
                if e["cat"] == "kernel":
                    at["args"] = {**e["args"], "device": n}
                events.append(at)
        return write(tmp_path / "m.json", events)

    def test_devices_belong_to_their_processes(self, tmp_path):
        assert figures(self.merged(tmp_path)) == [
            ("50", 0, 400, 200, 100.0),
            ("60", 1, 400, 200, 100.0),
        ]

    def test_ids_that_do_not_collide_are_one_space(self, tmp_path):
        events = [
            *RANK,
            {**call(350, 360, 9), "pid": 60},
            operation(400, 450, correlation=9),
        ]
        (got,) = figures(write(tmp_path / "t.json", events))
        assert got == ("50, 60", 0, 350, 50 + 50, 100.0)


class TestArrows:
    """Files whose operations state no id are linked by the arrows between launches and operations."""

    @pytest.mark.parametrize("category", ["ac2g", "async_cpu_to_gpu"])
    def test_arrows_link_what_ids_do_not(self, tmp_path, category):
        events = []
        for e in RANK:
            bare = {**e, "args": {k: v for k, v in e["args"].items() if k != "correlation"}}
            events.append(bare)
            if "correlation" in e["args"]:
                end = e["cat"] == "kernel"
                events.append({"ph": "f" if end else "s", "cat": category, "name": category, "ts": e["ts"],
                               "pid": e["pid"], "tid": e["tid"], "id": e["args"]["correlation"]})  # fmt: skip
        assert figures(write(tmp_path / "t.json", events)) == figures(
            write(tmp_path / "u.json", RANK)
        )

    def test_without_arrows_nothing_is_known(self, tmp_path):
        events = [{**e, "args": {}} for e in RANK]
        (got,) = figures(write(tmp_path / "t.json", events))
        assert got[3:] == (0, 0.0)
