"""`idlescope watch`: what it shows, of what, for how long, and with which exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from idlescope.cli.documents import struct_of
from idlescope.watching.monitoring import FILES
from tests.make.commands import idlescope as command
from tests.make.commands import refused
from tests.make.servers import Counting, FakeServer, serving
from tests.make.watched_loop_process import ROOT, idling_loop
from tests.make.watched_states import device, example, page, process, state


def idlescope(*arguments, columns=100):
    return command("watch", *arguments, columns=columns)


@pytest.fixture
def fake(tmp_path):
    with serving(FakeServer(tmp_path)) as server:
        server.pages["/state"] = page(example())
        yield server


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """A folder with a watched loop that idles for two thirds of the time."""
    folder = tmp_path_factory.mktemp("loop") / "watches"
    with idling_loop(folder):
        yield folder


def test_a_loop_is_watched_for_some_time_and_held_to_limits(loop):
    result = idlescope(loop, "--for", "1s", "--max-idle", "30%", columns=200)
    assert result.returncode == 1, result.stderr
    assert "because it ran dry before the host had issued the next work" in result.stdout
    assert "schedule" in result.stdout
    assert "a loop that idles 1 on device 0 pretended 0" in result.stdout
    assert "The limit is broken" in result.stdout


def test_json_is_what_its_schema_says(loop, fake):
    result = idlescope(loop, fake.url, "--json", "--max-idle", "99%")
    decoded = msgspec.json.decode(result.stdout, type=struct_of("watched"), strict=True)
    assert msgspec.to_builtins(decoded) == json.loads(result.stdout)
    assert decoded.holds is True
    assert [entry.label.partition(",")[2] for entry in decoded.watched] == [" rank 0"] * 2
    assert decoded.watched[0].state == example()
    assert result.returncode == 0


def test_the_state_that_is_served_is_what_its_schema_says(loop):
    document = json.loads(idlescope(loop, "--json").stdout)
    served = document["watched"][0]["state"]
    assert msgspec.convert(served, struct_of("watch"), strict=True)
    assert document["holds"] is None


@pytest.mark.parametrize(("limit", "code"), [("30%", 0), ("20%", 1)])
def test_the_exit_code_is_that_of_check(fake, limit, code):
    assert idlescope(fake.url, "--max-idle", limit).returncode == code


def test_several_processes_stand_in_one_table_and_the_idlest_is_explained(fake, tmp_path):
    busier = state(
        device(9_900, 1_000, idle_ms={"host": 100}),
        pid=77,
        rank=1,
        url="http://127.0.0.1:1",
    )
    with serving(FakeServer(tmp_path, pages={"/state": page(busier)})) as other:
        shown = idlescope(other.url, fake.url).stdout
    assert shown.startswith("The idlest of 2, 4242, rank 0, device 0, was idle for 25.00 %")
    rows = [line.split() for line in shown.splitlines() if ", rank" in line]
    assert ["4242,", "rank", "0", "25.0", "%"] in [row[:5] for row in rows]
    assert ["77,", "rank", "1", "1.0", "%"] in [row[:5] for row in rows]


def test_names_of_a_process_do_nothing_to_a_terminal(fake):
    evil = "\x1b[31mred[bold]\n::error::"
    gaps = [msgspec.structs.replace(example().devices[0].gaps[0], phase=evil)]
    acting = device(
        1, 1, idle_ms={"host": 1}, host_ms={evil: 1}, name=evil, engine=evil, gaps=gaps,
        batching=evil, notes=[evil],
    )  # fmt: skip
    fake.pages["/state"] = page(state(acting, pid=1, url=fake.url))
    result = idlescope(fake.url)
    assert "\x1b" not in result.stdout
    assert "red[bold]" in result.stdout
    assert not any(line.lstrip().startswith("::") for line in result.stdout.splitlines())


def test_what_ended_is_said_and_nothing_is_waited_for(fake):
    """It ends as soon as all have ended for good; what only hangs may be back."""
    answers = iter([page(example(pid=2**22 + 1))] * 2 + [None] * 2)

    def last_words():
        answer = next(answers)
        if answer is None:
            fake.shutdown()
            fake.server_close()
        return answer or "<html>"

    fake.pages["/state"] = last_words
    begun = time.monotonic()
    result = idlescope(fake.url, "--for", "600s", "--max-idle", "30%")
    assert time.monotonic() - begun < 30
    assert result.stdout.startswith("The device was idle for 25.00 %")  # until then
    assert "4194305, rank 0: it has ended" in result.stdout
    assert result.returncode == 0


def test_a_server_without_a_watch_is_read_and_says_what_it_cannot(tmp_path):
    counting = Counting(step_ms=8, running=4)
    with serving(FakeServer(tmp_path, pages={"/metrics": counting.vllm})) as fake:
        result = idlescope(fake.url, "--max-idle", "5%")
    assert result.returncode == 1
    assert result.stdout.startswith("Cannot tell how idle the device is.")
    assert (
        "vLLM exports the time of its steps, not when its device computes" in result.stdout
    )
    assert "time of a step: steps counted by the server's vllm:iteration" in result.stdout


def test_where_nothing_is_watched_it_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("IDLESCOPE_WATCH_FOLDER", str(tmp_path / "none"))
    refused(idlescope(), "so no process is watched there: start the engine with IDLESCOPE_")
    refused(idlescope("http://127.0.0.1:1"), "cannot be reached")
    refused(idlescope("ftp://a"), "is no folder")
    refused(idlescope("http://u:p@host"), "without user")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--for", "60"), "60 what? write 60s"),
        (("--for", "0s"), "give more than 0 s"),
        (("--for", "soon"), "is no length of time"),
        (("--max-idle", "0.05"), "write 0.05% or 5%"),
        (("--rules", "d", "--json"), "give it alone"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_asked(
    fake, arguments, says
):
    refused(idlescope(fake.url, *arguments), says)
    assert not fake.got


def test_rules_are_written_once(tmp_path):
    folder = tmp_path / "monitoring"
    written = idlescope("--rules", folder)
    assert written.returncode == 0, written.stderr
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    refused(idlescope("--rules", folder), "is there already")
    assert idlescope("--rules", folder, "--force").returncode == 0


def test_ctrl_c_ends_the_live_view_with_the_last_table(loop):
    """The exit code is that of the limits."""
    screen, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "LINES": "60", "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    words = [sys.executable, "-m", "idlescope", "watch", str(loop), "--max-idle", "1%"]
    streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    process = subprocess.Popen(words, env=environment, cwd=ROOT, **streams)
    os.close(terminal)
    shown, is_pressed = bytearray(), False
    try:
        while chunk := os.read(screen, 65_536):
            shown += chunk
            if not is_pressed and shown.count(b"Ctrl-C ends it") >= 3:
                is_pressed = True
                process.send_signal(signal.SIGINT)
    except OSError:
        pass  # the end of a terminal, on Linux
    os.close(screen)
    code = process.wait()
    live, _, last = shown.decode().rpartition("Ctrl-C ends it")
    for part in (live, last):
        assert "since the watch began, " in part
    assert "The limit is broken" in last
    assert b"Traceback" not in shown
    assert code == 1


def test_processes_that_have_ended_before_are_no_rows(fake, tmp_path):
    folder = tmp_path / "watches"
    folder.mkdir()
    gone = process("http://127.0.0.1:1", pid=2**22 + 1)
    (folder / "4194305.json").write_bytes(msgspec.json.encode(gone))
    here = msgspec.json.encode(process(fake.url))
    (folder / f"{os.getpid()}.json").write_bytes(here)
    shown = idlescope(folder).stdout
    assert "4194305.json is of a process that has ended" in shown
    assert "4194305," not in shown
