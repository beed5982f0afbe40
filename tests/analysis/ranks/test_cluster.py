"""A Dask scheduler and workers in processes of their own give what processes of this machine give."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from idlescope.analysis.ranks.asked import RankOptions
from idlescope.analysis.ranks.folder import analyze_folder
from idlescope.errors import ConfigError
from idlescope.trace import ranks_folder
from tests.make import held_worker
from tests.make.net_namespaces import Link, in_namespace, join, namespaces
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


def started(stack, command, prefix=(), **environment):
    """A process of Dask that ends with the test."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "dask", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


@pytest.fixture
def stack():
    with ExitStack() as running:
        yield running


def connected(address, workers):
    from distributed import Client

    with Client(address, timeout=60) as client:
        client.wait_for_workers(workers, timeout=60)


def scheduler_and_workers(stack, workers, *preload, **environment):
    """The address of a scheduler of this machine, and the processes of its workers."""
    pytest.importorskip("distributed")
    address = f"tcp://127.0.0.1:{free_port()}"
    at_home = ("--no-dashboard", "--host", "127.0.0.1")
    scheduler = ("scheduler", "--port", address.rpartition(":")[2], *at_home)
    started(stack, scheduler)
    worker = ("worker", address, "--nthreads", "1", "--no-nanny", *at_home, *preload)
    processes = [started(stack, worker, **environment) for _ in range(workers)]
    connected(address, workers)
    return address, processes


def test_a_worker_that_is_killed_while_it_works_costs_a_retry(folder, stack, tmp_path):
    (tmp_path / "hold").touch()
    preload = ("--preload", held_worker.__file__)
    held = {held_worker.FOLDER: str(tmp_path)}
    address, workers = scheduler_and_workers(stack, 2, *preload, **held)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(beside, folder, address)
        until(lambda: len([*tmp_path.glob("rank*")]) == 2)
        killed = workers[0].pid
        (at_work,) = tmp_path.glob(f"rank*.{killed}")
        os.kill(killed, signal.SIGKILL)
        workers[0].wait()
        (tmp_path / "hold").unlink()
        found = asked.result(60)
    assert found.to_json()["ranks"] == beside(folder).to_json()["ranks"]
    name = at_work.name.removesuffix(f".{killed}")
    assert {path.name for path in tmp_path.glob(f"{name}.*")} == {
        at_work.name,
        f"{name}.{workers[1].pid}",
    }
    # what is left of the cluster answers the next question, too
    assert beside(folder, address).to_json()["ranks"] == found.to_json()["ranks"]


def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_machines_that_share_a_network_alone_are_a_cluster(folder, stack):
    """A scheduler and a worker in network namespaces of their own, reached by a link each."""
    pytest.importorskip("distributed")
    to_scheduler, to_worker = Link.number(0), Link.number(1)
    try:
        scheduler, worker = stack.enter_context(namespaces("idlescope-s", "idlescope-w"))
        join(to_scheduler, None, scheduler)
        join(to_worker, scheduler, worker)
    except OSError as error:
        pytest.skip(f"no network namespaces are to be had here: {error}")
    started(
        stack,
        ("scheduler", "--port", "8786", "--no-dashboard", "--host", "0.0.0.0"),  # noqa: S104
        in_namespace(scheduler, []),
    )
    place = ("--no-nanny", "--no-dashboard", "--nthreads", "1", "--host", to_worker.second)
    started(
        stack, ("worker", f"tcp://{to_worker.first}:8786", *place), in_namespace(worker, [])
    )
    address = f"tcp://{to_scheduler.second}:8786"
    connected(address, 1)
    assert beside(folder, address).to_json()["ranks"] == beside(folder).to_json()["ranks"]


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
