"""A Dask scheduler and workers in processes of their own give what processes of this machine give."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from idlescope.analysis.ranks.folder import analyze_folder
from idlescope.analysis.ranks.rank_file import RankOptions
from idlescope.errors import ConfigError
from idlescope.trace import ranks_folder
from tests.make.ranks import Job, job, write

OPTIONS = RankOptions("first-last", 0, frames=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = job(Job(4, late_ns=(300_000, 0, 0, 0)))
    return write(tmp_path_factory.mktemp("ranks"), made.events)


def beside(folder, cluster=None):
    return analyze_folder(folder, ranks_folder.files(folder), OPTIONS, cluster=cluster)


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.fixture
def cluster():
    """The address of a scheduler with two workers, and their processes."""
    pytest.importorskip("distributed")
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    at_home = ("--no-dashboard", "--host", "127.0.0.1")
    commands = [("scheduler", "--port", port, *at_home)]
    commands += [("worker", address, "--nthreads", "1", "--no-nanny", *at_home)] * 2
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]
    from distributed import Client

    with Client(address, timeout=60) as client:
        client.wait_for_workers(2, timeout=60)
    yield address, started
    for process in started:
        process.kill()
        process.wait()


def test_a_cluster_says_what_this_machine_says_also_when_a_worker_dies(folder, cluster):
    address, (_, first_worker, _) = cluster
    here = beside(folder).to_json()
    assert beside(folder, address).to_json()["ranks"] == here["ranks"]
    os.kill(first_worker.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert beside(folder, address).to_json()["ranks"] == here["ranks"]


def test_a_scheduler_that_is_not_there_is_one_clear_sentence(folder, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("idlescope.analysis.ranks.cluster.ANSWER_S", 1)
    with pytest.raises(ConfigError, match="no Dask scheduler answers at tcp://127"):
        beside(folder, f"tcp://127.0.0.1:{free_port()}")


def test_what_is_no_cluster_is_said(folder):
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="give the address of a Dask scheduler"):
        beside(folder, "local:many")


def test_processes_of_this_machine_may_be_the_cluster(folder):
    pytest.importorskip("distributed")
    assert beside(folder, "local:1").to_json()["ranks"] == beside(folder).to_json()["ranks"]
