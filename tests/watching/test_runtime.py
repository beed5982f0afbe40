"""One process, its watches and its children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import idlescope
from idlescope.capture import ranges
from idlescope.watching import runtime
from idlescope.watching.ways.base import Ended
from tests.make.watched_loops import MS, PretendedDevice, drive


def test_a_process_says_in_the_folder_that_it_is_watched_and_takes_it_back(tmp_path):
    watch = idlescope.watch(way="host", folder=tmp_path / "watches", engine="vllm", rank=2)
    file = tmp_path / "watches" / f"{os.getpid()}.json"
    said = json.loads(file.read_text())
    assert (said["pid"], said["rank"], said["engine"]) == (os.getpid(), 2, "vllm")
    assert said["url"] == watch._runtime.url
    assert (tmp_path / "watches").stat().st_mode & 0o077 == 0
    watch.close()
    assert not file.exists()


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    watch = idlescope.watch(way="host", folder=tmp_path / "file" / "watches")
    with watch.step():
        pass
    assert watch.state().devices[0].steps == {"not told": 1}
    assert "not listed" in caplog.text


def test_the_last_watch_ends_what_the_process_has_once():
    first, second = idlescope.watch(way="host"), idlescope.watch(way="host")
    thread = first._runtime._thread
    first.close()
    assert thread.is_alive()
    second.close()
    thread.join(3)
    assert not thread.is_alive()
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


def test_a_signal_makes_a_recording():
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)
    drive(watch, device, 4)
    os.kill(os.getpid(), signal.SIGUSR2)
    deadline = time.monotonic() + 5
    while not (found := watch.state().recordings) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(found) == 1


def test_a_signal_that_the_application_uses_is_left_alone():
    heard = []
    before = signal.signal(signal.SIGUSR2, lambda *_: heard.append(1))
    try:
        idlescope.watch(way="host")
        os.kill(os.getpid(), signal.SIGUSR2)
        assert heard == [1]
    finally:
        runtime.close_all()
        signal.signal(signal.SIGUSR2, before)


def test_a_rule_that_begins_to_hold_makes_a_recording(monkeypatch):
    watch = idlescope.watch(way=PretendedDevice(), record_when="idle > 10% for 2s")
    monkeypatch.setattr(watch._trigger, "fires", lambda *_: True)
    drive(watch, watch.way, 3)
    watch.settle()
    assert len(watch.state().recordings) >= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_is_not_watched_and_may_be_anew(tmp_path):
    watch = idlescope.watch(way=PretendedDevice())
    with watch.step():
        pass
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        told = b"failed"
        try:
            with watch.step(), idlescope.range("prepare"), watch.launching():
                pass
            was_off = "forked" in watch.off and not ranges.LISTENERS
            anew = idlescope.watch(way="host", folder=tmp_path / "child")
            with anew.step():
                pass
            counted = anew.state().devices[0].steps == {"not told": 1}
            closed = watch.way.closed
            anew.close()
            told = repr((was_off, counted, closed)).encode()
        finally:
            os.write(write_end, told)
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read_end, 100) == b"(True, True, 0)"
    os.close(read_end)
    os.close(write_end)
    with watch.step():
        pass
    assert watch.state().devices[0].steps == {"not told": 2}
    assert (watch.settings.folder / f"{os.getpid()}.json").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_is_forked_amid_settling_may_still_ask():
    device = PretendedDevice()
    watch = idlescope.watch(way=device)
    amid, over = threading.Event(), threading.Event()

    def slowly() -> Ended:
        amid.set()
        over.wait(10)
        return Ended.nothing(0)

    device.ended = slowly
    settling = threading.Thread(target=watch.settle)
    settling.start()
    amid.wait(10)
    with watch.step(), idlescope.range("prepare"):
        child = os.fork()
    if child == 0:
        signal.alarm(5)  # what hangs is killed
        is_off = False
        try:
            is_off = "forked" in watch.state().devices[0].off
        finally:
            os._exit(0 if is_off else 1)
    over.set()
    settling.join()
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert not watch.off


SCRIPT = """
import multiprocessing, os, sys
import idlescope

def serve():
    with idlescope.watch(way="host").step():
        pass

if __name__ == "__main__":
    watch = idlescope.watch(way="host")
    with watch.step():
        pass
    child = multiprocessing.get_context("spawn").Process(target=serve)
    child.start()
    child.join()
    print(child.exitcode, watch.state().devices[0].steps)
"""


def test_a_process_that_ends_without_closing_leaves_nothing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment["IDLESCOPE_WATCH_FOLDER"] = str(tmp_path / "watches")
    done = subprocess.run(
        [sys.executable, script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "0 {'not told': 1}\n", done.stderr
    assert done.stderr == ""
    assert not list((tmp_path / "watches").glob("*.json"))


def test_a_recording_that_cannot_be_written_is_said_and_the_watch_goes_on(
    monkeypatch, caplog
):
    watch = idlescope.watch(way=PretendedDevice(), record_when="idle > 10% for 2s")
    monkeypatch.setattr(watch._trigger, "fires", lambda *_: True)
    monkeypatch.setattr(
        watch, "record_next", lambda: (_ for _ in ()).throw(OSError("full"))
    )
    drive(watch, watch.way, 2)
    watch.settle()
    assert "OSError: full" in caplog.text
    assert not watch.off
    monkeypatch.undo()
