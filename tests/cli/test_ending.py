"""Signals that ask a command to end, while it reads and while it writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import cycle

import pytest

from tests.conftest import FIXTURES
from tests.make.commands import idlescope
from tests.make.ending_signals import Commands, obeying
from tests.make.servers import FakeServer, serving
from tests.make.undrawn import figures_undrawn
from tests.make.watched_states import example, page

TRACE = FIXTURES / "loop_sync.json.gz"
OTHER = FIXTURES / "loop_async.json.gz"
READING, DRAFT = "loop_sync", ".idlescope-"
LIMIT = ("--max-idle", "100%")
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

# what is typed, and what is opened when the signal comes
COMMANDS = {
    "analyze reads": (("analyze", TRACE), READING),
    "analyze prepares a report": (("analyze", TRACE, "--out", "o"), READING),
    "analyze writes a report": (("analyze", TRACE, "--out", "o"), "analysis.json"),
    "analyze writes the page": (("analyze", TRACE, "--out", "o"), "report.html"),
    "analyze of ranks reads": (("analyze", "ranks", "--out", "o"), "rank1"),
    "analyze of ranks writes": (("analyze", "ranks", "--out", "o"), "analysis.json"),
    "convert reads": (("convert", TRACE, "o"), READING),
    "convert writes": (("convert", TRACE, "o"), DRAFT),
    "convert writes SQLite": (("convert", TRACE, "o.sqlite"), DRAFT),
    "compare reads": (("compare", TRACE, OTHER, "--out", "o"), "loop_async"),
    "compare writes": (("compare", TRACE, OTHER, "--out", "o"), "comparison.json"),
    "predict": (("predict", TRACE), READING),
    "check reads": (("check", TRACE, *LIMIT, "--history", "h", "--out", "o"), READING),
    "check writes": (("check", TRACE, *LIMIT, "--junit", "j"), DRAFT),
    "scrub": (("scrub", TRACE, "o.json.gz"), DRAFT),
}


@pytest.fixture(scope="module")
def commands():
    """Commands of one process, which has imported them."""
    started = Commands()
    yield started
    started.close()


@pytest.fixture
def folder(tmp_path):
    """An empty folder but for two ranks."""
    here = tmp_path / "here"
    (here / "ranks").mkdir(parents=True)
    for rank in range(2):
        (here / "ranks" / f"rank{rank}.json.gz").write_bytes(TRACE.read_bytes())
    return here


def held(folder):
    return {
        path.relative_to(folder): path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize(
    ("name", "number"),
    list(zip(COMMANDS, cycle(NUMBERS), strict=False)),
    ids=lambda value: getattr(value, "name", value),
)
def test_what_ends_a_command_leaves_everything_as_it_was(commands, folder, name, number):
    words, opened = COMMANDS[name]
    before = held(folder)
    ended = commands.run(folder, words, opened, number)
    assert ended.was_sent
    assert (ended.code, ended.stdout) == (130, "")
    assert ended.stderr == "idlescope: interrupted; nothing was written\n"
    assert held(folder) == before


@pytest.mark.parametrize("times", [1, 5])
def test_an_earlier_result_stays_whole_however_often_one_asks(commands, folder, times):
    with figures_undrawn():
        assert idlescope("analyze", OTHER, "--out", folder / "o").returncode == 0
    before = held(folder)
    words = ("analyze", TRACE, "--out", "o", "--force")
    ended = commands.run(folder, words, "analysis.json", signal.SIGHUP, times=times)
    assert (ended.code, ended.stderr) == (
        130,
        "idlescope: interrupted; o is as it was before\n",
    )
    assert held(folder) == before


def test_what_is_whole_already_is_not_said_to_be_unwritten(commands, folder):
    words = ("check", TRACE, *LIMIT, "--history", "h", "--junit", "j")
    ended = commands.run(folder, words, DRAFT, signal.SIGTERM)
    assert (ended.code, ended.stderr) == (
        130,
        "idlescope: interrupted; h has its line of this commit\n",
    )
    (line,) = (folder / "h").read_text().splitlines()
    assert "device 0" in line


def test_a_hang_up_that_nohup_ignores_stays_ignored(commands, folder):
    words = ("analyze", TRACE, "--json")
    ended = commands.run(folder, words, READING, signal.SIGHUP, ignored=signal.SIGHUP)
    assert (ended.was_sent, ended.code, ended.stderr) == (True, 0, "")
    assert json.loads(ended.stdout)["devices"]


def test_an_export_is_not_damaged_because_someone_ended_the_reading(tmp_path):
    """SQLite drops what is raised while it calls, and says that it was interrupted."""
    from contextlib import closing
    from sqlite3 import connect

    from idlescope.trace.sqlite.guard import Guard

    path = tmp_path / "d.sqlite"
    with closing(connect(path)) as database:
        database.execute("CREATE TABLE numbers AS SELECT 1 AS n")
        database.commit()
        guard = Guard(path, database)
        guard._count = None  # as where Ctrl-C comes: what SQLite calls raises
        database.set_progress_handler(lambda: 1 / 0, 1)
        with pytest.raises(KeyboardInterrupt), guard.query():
            list(database.execute("SELECT n FROM numbers"))


def started(*words, environment=None):
    """Start a command that obeys every signal; return its process."""

    def obey():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        obeying(signal.SIGTERM)()
        obeying(signal.SIGHUP)()

    return subprocess.Popen(
        [sys.executable, "-m", "idlescope", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        preexec_fn=obey,  # noqa: PLW1509
    )


def test_a_server_for_agents_ends_though_its_client_waits(tmp_path):
    pytest.importorskip("mcp")
    process = started("mcp", tmp_path)
    asked = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-03-26",
            "capabilities": {},
            "clientInfo": {"name": "x", "version": "1"},
        },
    }
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["id"] == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    assert process.stderr.read() == "idlescope: interrupted; nothing was written\n"
    process.communicate()


def test_a_watch_ends_with_what_it_has_seen(tmp_path):
    with serving(FakeServer(tmp_path)) as server:
        server.pages["/state"] = page(example())
        process = started("watch", server.url, "--for", "60s", "--json")
        while len(server.got) < 3:  # it has begun, and looks again and again
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (0, "")
    assert json.loads(stdout)["watched"]


DROPPED = """
import gc, os, signal, sys, time
from idlescope.cli.signals import end_as_interrupted

class Dropping:
    def __del__(self):  # what is raised here has no effect
        os.kill(os.getpid(), {number})

end_as_interrupted()
try:
    Dropping()
    time.sleep(20)
except KeyboardInterrupt:
    print("ended")
"""


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_that_comes_where_it_has_no_effect_comes_again(number):
    program = DROPPED.format(number=int(number))
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=obeying(number),
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")
