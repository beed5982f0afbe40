"""Several servers, or ranks of one, record at the same time; a rank that writes nothing is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from idlescope.capture.server.capture import capture_together
from idlescope.capture.server.recording import Recording
from idlescope.errors import ServerError
from tests.make.commands import idlescope
from tests.make.kineto_files import document
from tests.make.ranks import BASE_NS, Job, job
from tests.make.servers import Counting

pytestmark = pytest.mark.usefixtures("soon")

MADE = job(Job(4, steps=4, late_ns=(300_000, 0, 0, 0)))


def trace_of(rank, world_size):
    """What a rank of a job writes."""
    said = {"rank": rank, "world_size": world_size}
    whole = document(MADE.events[rank], baseTimeNanoseconds=BASE_NS, distributedInfo=said)
    events = whole.pop("traceEvents")
    return json.dumps(whole | {"traceEvents": events}).encode()


def written(*ranks, world_size=4, name="{}-TP-{}.trace.json", stem="1700"):
    return {name.format(stem, rank): trace_of(rank, world_size) for rank in ranks}


def captured(*fakes, engine="sglang", **options):
    given = {"seconds": 0.05, "timeout": 5.0, **options}
    recordings = [Recording(fake.url, engine, fake.folder, **given) for fake in fakes]
    return capture_together(recordings, lambda _: None)


def asked(fake):
    return [name for name, _ in fake.asked]


class TestRanks:
    """One server, whose ranks each write a trace."""

    def test_a_rank_that_writes_late_is_waited_for(self, serve):
        def late(fake):
            fake.write()
            for name, content in written(3).items():
                threading.Timer(0.4, (fake.folder / name).write_bytes, (content,)).start()

        fake = serve(traces=written(0, 1, 2), faults={"stop_profile": late})
        found = captured(fake)
        assert len(found.traces) == 4
        assert not any("wrote no trace" in note for note in found.notes)

    def test_one_that_writes_nothing_is_named_and_the_others_are_there(self, serve):
        found = captured(serve(traces=written(0, 1, 3)))
        assert [path.name[5:9] for path in found.traces] == ["TP-0", "TP-1", "TP-3"]
        assert any("rank 2 of the job wrote no trace" in note for note in found.notes)

    def test_where_so_many_are_asked_for_the_missing_one_is_named(self, serve):
        with pytest.raises(ServerError, match=r"3 of 4 traces appeared.*rank 2 wrote none"):
            captured(serve(traces=written(0, 1, 3)), ranks=4, timeout=0.6)

    def test_servers_of_one_rank_miss_none(self, serve):
        found = captured(serve(traces=written(0, world_size=1, name="{}.{}.json")))
        assert len(found.traces) == 1
        assert not any("wrote no trace" in note for note in found.notes)


class TestServers:
    """Data-parallel servers, each with its own address."""

    def test_they_record_at_the_same_time_and_each_is_stopped(self, serve):
        recording = []

        def start(fake):
            recording.append(fake)

        first = serve(
            traces=written(0, 1, world_size=2, stem="a"), faults={"start_profile": start}
        )
        second = serve(
            traces=written(0, 1, world_size=2, stem="b"), faults={"start_profile": start}
        )
        found = captured(first, second, seconds=0.3)
        assert recording in ([first, second], [second, first])
        assert asked(first) == asked(second) == ["start_profile", "stop_profile"]
        assert [path.name[0] for path in found.traces] == ["a", "a", "b", "b"]
        assert not any("wrote no trace" in note for note in found.notes)

    def test_a_rank_of_one_of_them_that_writes_nothing_is_named(self, serve):
        first = serve(traces=written(0, 1, world_size=2, stem="a"))
        second = serve(traces=written(0, world_size=2, stem="b"))
        notes = captured(first, second).notes
        assert any("rank 1 of the job wrote no trace" in note for note in notes)

    def test_where_one_refuses_to_start_the_other_is_stopped(self, serve):
        first = serve(traces=written(0, world_size=1))
        second = serve(faults={"start_profile": (500, b"busy")})
        with pytest.raises(ServerError, match="status 500: busy"):
            captured(first, second, seconds=60)
        assert len(asked(first)) != 1  # what was started is stopped
        assert asked(second) == ["start_profile"]

    def test_the_step_without_the_profiler_is_their_mean(self, serve):
        quick = serve(traces=written(0, stem="a"), pages={"/metrics": Counting(4).sglang})
        slow = serve(traces=written(1, stem="b"), pages={"/metrics": Counting(8).sglang})
        step = captured(quick, slow, ranks=2).step
        assert step.method.startswith("mean of 2 servers")
        assert step.low_ms < step.step_ms < step.high_ms
        assert step.step_ms == pytest.approx(6, rel=0.2)

    def test_one_without_requests_is_said_to_have_none(self, serve):
        idle = {"/metrics": Counting(running=0).sglang}
        first = serve(traces=written(0, stem="a"), pages={"/metrics": Counting().sglang})
        second = serve(traces=written(1, stem="b"), pages=idle)
        notes = captured(first, second, ranks=2).notes
        (said,) = [note for note in notes if "served no request" in note]
        assert said.startswith(second.url)
        with pytest.raises(ServerError, match="served no request"):
            captured(second, serve(traces=written(0), pages=idle), ranks=2)


class TestCommand:
    def test_ranks_of_two_servers_are_one_story(self, serve, folder):
        first, second = serve(traces=written(0, 1)), serve(traces=written(2, 3))
        words = (
            "--engine",
            "sglang",
            "--seconds",
            "0.1",
            "--traces",
            folder,
            "--ranks",
            "4",
        )
        result = idlescope("capture", first.url, second.url, *words, "--json")
        assert result.returncode == 0, result.stderr
        ranks = json.loads(result.stdout)["ranks"]
        assert ranks["kind"] == "one rank's host is late"
        assert ranks["text"].startswith("Rank 0's host is late")
        assert len(ranks["ranks"]) == 4

    def test_ctrl_c_stops_the_profilers_of_all(self, serve, folder):
        fakes = [serve(), serve()]
        command = [
            sys.executable,
            "-m",
            "idlescope",
            "capture",
            *(fake.url for fake in fakes),
        ]
        command += ["--engine", "vllm", "--seconds", "60", "--traces", str(folder)]
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        end = time.monotonic() + 30
        while not all(fake.asked for fake in fakes) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        for fake in fakes:
            assert asked(fake) == ["start_profile", "stop_profile"]
        assert "Traceback" not in said
