"""A copy of a process does one thing, has its pipes only, and ends with its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from idlescope.children.forked import _OwnProcess, may_fork
from tests.children.test_lifeline import lives
from tests.make.commands import ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are copied on Linux only"
)

# A process that keeps what a copy must not have: an open file, text that is yet to be printed,
# something to do at its end, a handler of Ctrl-C.
BEGIN = """
import atexit, json, os, signal, sys, time
from threading import Event, Thread
from idlescope.children.forked import ForkedChild, allow_forks, may_fork
from idlescope.children.lifeline import lines_of_parent

held = open(__file__ if "__file__" in globals() else "/dev/null")
atexit.register(print, "the end")
signal.signal(signal.SIGINT, signal.default_int_handler)
print("printed once")

def answer():
    for line in lines_of_parent():
        files = sorted(map(int, os.listdir("/proc/self/fd")))
        said = {"asked": json.loads(line), "files": files[:-1], "id": os.getpid()}
        sys.stdout.write(json.dumps(said) + chr(10))
        sys.stdout.flush()

def ask(child, what):
    child.stdin.write(json.dumps(what).encode() + b"\\n")
    child.stdin.flush()
    return json.loads(child.stdout.readline() or "null")
"""


def said_by(program):
    """Return what a process prints after what every one does."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    first, *lines, last = done.stdout.splitlines()
    assert (first, last) == ("printed once", "the end")
    return [json.loads(line) for line in lines]


def test_a_copy_answers_and_has_its_pipes_only():
    (first, second, other) = said_by("""
children = [ForkedChild(answer) for _ in range(2)]
for child, what in ((children[0], "a"), (children[0], "b"), (children[1], "c")):
    print(json.dumps(ask(child, what)))
for child in children:
    child.kill()
    child.wait()
""")
    assert [said["asked"] for said in (first, second, other)] == ["a", "b", "c"]
    assert first["id"] == second["id"] != other["id"]
    assert first["files"] == other["files"] == [0, 1, 2]


def test_ctrl_c_is_the_parents_to_handle_and_other_signals_end_a_copy():
    (ended,) = said_by("""
child = ForkedChild(answer)
first = ask(child, 1)
os.kill(child.pid, signal.SIGINT)
again = ask(child, 2)
os.kill(child.pid, signal.SIGTERM)
child.wait()
print(json.dumps([first["asked"], again["asked"], child.stdout.read().decode()]))
""")
    assert ended == [1, 2, ""]


def test_a_copy_that_fails_ends_and_does_nothing_else():
    (said,) = said_by("""
def fail():
    raise KeyError("nobody hears it")
child = ForkedChild(fail)
codes = [child.wait(), child.wait()]
child.kill()
print(json.dumps([*codes, child.stdout.read().decode()]))
""")
    assert said == [1, 1, ""]


def test_only_a_command_of_ours_is_copied_and_only_while_it_has_one_thread():
    of_anyone, alone, beside_another = said_by("""
print(json.dumps(may_fork()))
allow_forks()
print(json.dumps(may_fork()))
ended = Event()
Thread(target=ended.wait).start()
print(json.dumps(may_fork()))
ended.set()
""")
    assert not of_anyone
    assert alone
    assert not beside_another


def test_nor_is_one_elsewhere_than_on_linux(monkeypatch):
    monkeypatch.setattr(_OwnProcess, "is_command", True)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not may_fork()


def test_a_parent_that_is_killed_leaves_no_copy():
    program = """
children = [ForkedChild(answer) for _ in range(3)]
print(json.dumps([child.pid for child in children]), flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", BEGIN + program],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert parent.stdout.readline() == "printed once\n"
    children = json.loads(parent.stdout.readline())
    assert all(map(lives, children))
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 20
    while any(map(lives, children)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
