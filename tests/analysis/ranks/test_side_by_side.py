"""Files of ranks analysed by processes of their own say the same as their traces together."""

import json
import os
import signal
import subprocess
import sys

import msgspec
import pytest

import idlescope
from idlescope.analysis.ranks import side_by_side
from idlescope.analysis.ranks.asked import RankBytesError, RankOptions
from idlescope.analysis.ranks.folder import analyze_folder
from idlescope.analysis.ranks.kept import KeptSummaries
from idlescope.analysis.ranks.rank_file import unpacked
from idlescope.analysis.ranks.rank_process import RankProcess
from idlescope.errors import TraceError
from idlescope.trace import ranks_folder
from tests.make.commands import ROOT
from tests.make.kineto_files import document, operation
from tests.make.ranks import Job, job, write

OPTIONS = RankOptions("first-last", 0, frames=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("IDLESCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    wanted = Job(3, late_ns=(300_000, 0, 0), ahead_ns=(0, 0, 5_000_000))
    return write(tmp_path_factory.mktemp("ranks"), job(wanted).events)


def beside(folder, **options):
    return analyze_folder(folder, ranks_folder.files(folder), OPTIONS, **options)


def test_they_say_what_the_traces_together_say(folder):
    together = idlescope.analyze(idlescope.open(folder)).to_json()
    done = []
    apart = beside(folder, progress=done.append).to_json()
    assert apart["ranks"] == together["ranks"]
    assert apart["steps"] == together["steps"]
    for part in ("path", "format", "events"):
        assert apart["source"][part] == together["source"][part]
    for one, other in zip(apart["devices"], together["devices"], strict=True):
        shift = other["window"]["start_ns"] - one["window"]["start_ns"]
        assert one["idle_ns"] == other["idle_ns"]
        assert one["process"] == other["process"]
        assert shift == 0
    assert done[-1] == 3


def test_a_file_that_is_no_trace_is_left_out_and_said(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "rank9.json").write_text("{}")
    found = beside(tmp_path)
    assert len(found.group.ranks) == 3
    assert any(warning.startswith("rank9.json was left out") for warning in found.warnings)


def test_a_folder_without_any_trace_is_one_clear_error(tmp_path):
    (tmp_path / "rank0.json").write_text("{}")
    (tmp_path / "rank1.json").write_text("{}")
    with pytest.raises(TraceError, match=r"rank0\.json"):
        beside(tmp_path)


def test_a_process_that_is_killed_costs_its_file_only(folder):
    with RankProcess(OPTIONS, KeptSummaries(OPTIONS)) as child:
        os.kill(child._process.pid, signal.SIGKILL)
        first, second = sorted(folder.iterdir())[:2]
        assert "could not be analysed" in str(child.ask(first))
        assert child.ask(second).file == second.name


BOTH_WAYS = """
import sys
from pathlib import Path
from idlescope.analysis.ranks.asked import RankOptions
from idlescope.analysis.ranks.folder import analyze_folder
from idlescope.children import forked, start
from idlescope.report.text import to_text

folder = Path(sys.argv[1])
paths = sorted(folder.iterdir())
copies = []
start.ForkedChild = lambda work, copy=start.ForkedChild: copies.append(work) or copy(work)
for may_fork in (True, False):
    forked._OwnProcess.is_command = may_fork
    found = analyze_folder(folder, paths, RankOptions("first-last", 0, frames=True))
    print(len(copies), to_text(found.to_json()).replace(chr(10), ""))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux only")
def test_copies_of_a_process_say_what_programs_do(folder):
    environment = {**os.environ, "IDLESCOPE_CACHE": "off", "OPENBLAS_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": str(ROOT), "IDLESCOPE_JOBS": "2"}
    command = [sys.executable, "-c", BOTH_WAYS, str(folder)]
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    by_copies, by_programs = done.stdout.splitlines()
    assert by_copies.startswith(b"2 {")
    assert by_programs == by_copies


def test_many_files_are_compared_a_few_times_only():
    times = [files for files in range(1, 1001) if side_by_side._is_time_to_compare(files)]
    assert times[:3] == [1, 2, 4]
    assert sum(times) < 2 * 1000


def test_bytes_of_anyone_are_no_analysis():
    with pytest.raises(RankBytesError):
        unpacked(b"[1", b"")
    with pytest.raises(RankBytesError):
        unpacked(msgspec.json.encode({"figures": [1]}), b"")


def test_processes_of_their_own_pay_for_large_folders_only(folder, tmp_path):
    assert not side_by_side.is_worth_it(ranks_folder.files(folder))
    for rank in range(2):
        with (tmp_path / f"rank{rank}.json").open("wb") as file:
            file.truncate(40 << 20)
    assert side_by_side.is_worth_it([*tmp_path.iterdir()])


def no_children(*_):
    raise AssertionError("a file is read again")


def test_the_second_question_reads_no_trace_again(folder, own_cache, monkeypatch):
    first = beside(folder).to_json()
    assert len([*own_cache.iterdir()]) == 3
    monkeypatch.setattr(side_by_side, "_asked", no_children)
    assert beside(folder).to_json() == first


def processes_of_one_gpu(folder, count):
    """Write traces of processes that share a GPU: none says that it is a rank."""
    folder.mkdir()
    for process in range(count):
        kernels = [operation(start, start + 5) for start in range(10 * process, 400, 80)]
        (folder / f"process_{process}.json").write_text(json.dumps(document(kernels)))
    return folder


def test_no_more_is_read_once_two_files_may_be_of_one_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("IDLESCOPE_JOBS", "1")
    shared = processes_of_one_gpu(tmp_path / "shared", 6)
    done = []
    assert beside(shared, progress=done.append) is None
    assert done == [0, 1, 2]


def test_what_is_kept_of_them_says_so_at_once(tmp_path, monkeypatch):
    shared = processes_of_one_gpu(tmp_path / "shared", 3)
    beside(shared)
    monkeypatch.setattr(side_by_side, "_asked", no_children)
    assert beside(shared) is None


def test_a_file_that_changed_is_read_again(folder, tmp_path, own_cache):
    ranks = tmp_path / "ranks"
    ranks.mkdir()
    for path in folder.iterdir():
        (ranks / path.name).write_bytes(path.read_bytes())
    beside(ranks)
    (ranks / "rank1.json").write_bytes((folder / "rank1.json").read_bytes() + b"\n")
    beside(ranks)
    assert len([*own_cache.iterdir()]) == 4


def test_what_is_kept_may_be_damaged_or_forbidden(folder, own_cache, monkeypatch):
    first = beside(folder).to_json()
    for entry in own_cache.iterdir():
        entry.write_bytes(entry.read_bytes()[:-9])
    assert beside(folder).to_json() == first
    monkeypatch.setenv("IDLESCOPE_CACHE", "off")
    assert KeptSummaries(OPTIONS).find(next(folder.iterdir())) is None
    monkeypatch.setenv("IDLESCOPE_CACHE", "/dev/null/none")
    KeptSummaries(OPTIONS).keep(next(folder.iterdir()), b"", b"")
