"""`idlescope view`: the report or the trace is served, and the browser is told where."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.conftest import FIXTURES
from tests.make.commands import ROOT, SMALL, idlescope, refused
from tests.make.ending_signals import ENDING, obeying
from tests.make.undrawn import UNDRAWN, figures_undrawn

TRACE = FIXTURES / "loop_sync.json.gz"
ORIGIN = "https://ui.perfetto.dev"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a small run."""
    folder = tmp_path_factory.mktemp("runs") / "a run"
    with figures_undrawn():
        result = idlescope(*SMALL, "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def browser(tmp_path):
    """A browser that writes down the address that it is given."""
    script, told = tmp_path / "browser", tmp_path / "told"
    script.write_text(f'#!/bin/sh\necho "$1" > {told}\n')
    script.chmod(0o755)
    return script, told


def viewing(*arguments, browser="", until="in Nsight"):
    """Start the command; return it with the lines that it printed up to the one about Nsight."""
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    }
    environment |= {"COLUMNS": "100", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    environment |= {"PYTHONPATH": str(ROOT)}
    environment |= {"BROWSER": str(browser)} if browser else {}
    process = subprocess.Popen(
        [sys.executable, "-c", UNDRAWN, "view", *map(str, arguments)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=obeying(signal.SIGHUP),  # noqa: PLW1509
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith(until):
            break
    return process, lines


def ended(process, by=None):
    if by is not None:
        process.send_signal(by)
    rest, errors = process.communicate(timeout=30)
    return process.returncode, rest, errors


def fetched(address, **headers):
    """What an address answers, and to which origin it allows that."""
    with closing(HTTPConnection(urlsplit(address).netloc, timeout=20)) as connection:
        connection.request("GET", urlsplit(address).path, headers=headers)
        answer = connection.getresponse()
        return answer.read(), answer.getheader("Access-Control-Allow-Origin")


def port_is_free():
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", 9001)) != 0


needs_port = pytest.mark.skipif(
    not port_is_free(), reason="port 9001, Perfetto's, is in use on this machine"
)


def test_a_report_is_served_opened_and_ended_by_ctrl_c(run, browser):
    script, told = browser
    process, lines = viewing(run, browser=script)
    address = lines[0].removesuffix(" (Ctrl-C ends it)")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/report\.html", address)
    assert fetched(address)[0] == (run / "report.html").read_bytes()
    assert lines[1] == f"in Perfetto: idlescope view '{run}' --perfetto"
    assert (
        lines[2]
        == f"in Nsight: idlescope convert '{run}/sync.recording' 'a run.sqlite' && nsys stats 'a run.sqlite'"
    )
    code, rest, errors = ended(process, signal.SIGINT)
    assert (code, rest, errors) == (0, "ended\n", "")
    assert told.read_text().strip() == address


@ENDING
def test_what_ends_it_takes_the_report_of_a_trace_away(
    undrawn, tmp_path, monkeypatch, number
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process, lines = viewing(TRACE, "--no-open")
    assert lines[0].endswith("(Ctrl-C ends it)")
    assert [path.name.startswith("idlescope-") for path in tmp_path.iterdir()] == [True]
    code, rest, errors = ended(process, number)
    assert (code, rest.splitlines()[-1], errors) == (0, "ended", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [(), ("--no-open",)])
def test_where_there_is_no_browser_it_says_what_to_do(run, option):
    process, lines = viewing(run / "report.html", "--port", "0", *option)
    assert ended(process, signal.SIGINT)[0] == 0
    said = [
        line for line in lines if re.search(r"ssh -L (\d+):127\.0\.0\.1:\1 \S+`\.$", line)
    ]
    assert len(said) == (not option)


@pytest.mark.parametrize("command", ["sweep", "compare"])
def test_reports_of_many_traces_are_served_too(run, undrawn, browser, tmp_path, command):
    folder = tmp_path / command
    small = (
        "--model",
        "tiny",
        "--tokens",
        "8",
        "--batch-size",
        "2",
        "--device",
        "modelled:a100",
        "--host-ms",
        "1",
    )
    given = {"sweep": ("sweep", *small), "compare": ("compare", run)}[command]
    assert idlescope(*given, "--out", folder).returncode == 0
    process, lines = viewing(folder, browser=browser[0], until="http")
    assert fetched(lines[0].split()[0])[0] == (folder / "report.html").read_bytes()
    code, rest, errors = ended(process, signal.SIGINT)
    assert (code, rest, errors) == (0, "ended\n", "")
    refused(idlescope("view", folder, "--perfetto"), "holds no trace")


def test_a_trace_is_reported_on_first(browser):
    script, told = browser
    process, lines = viewing(TRACE, browser=script)
    assert b"loop_sync.json.gz" in fetched(lines[0].split()[0])[0]
    assert ended(process, signal.SIGINT)[0] == 0
    assert told.exists()


@needs_port
@pytest.mark.parametrize("given", ["run", "trace", "analysis"])
def test_perfetto_is_given_the_trace_once_at_the_worst_gap(
    run, undrawn, browser, tmp_path, given
):
    script, told = browser
    path = {"run": run, "trace": TRACE, "analysis": tmp_path / "analysed"}[given]
    if given == "analysis":
        assert idlescope("analyze", TRACE, "--out", path).returncode == 0
    process, lines = viewing(path, "--perfetto", browser=script)
    base, _, route = lines[0].partition("/#!/?")
    assert base == ORIGIN
    asked = {key: value for key, (value,) in parse_qs(route).items()}
    assert int(asked["visStart"]) < int(asked["visEnd"])
    commands = json.loads(asked["startupCommands"])
    pattern = {command["id"]: command["args"][0] for command in commands}
    assert re.search(pattern["dev.perfetto.ExpandTracksByRegex"], "host 1")
    added = [command["args"][1] for command in commands if "AddDebug" in command["id"]]
    assert added[1:] == ["gaps"]
    pinned = re.compile(pattern["dev.perfetto.PinTracksByRegex"])
    assert pinned.search("idle %")
    assert not pinned.search("steps 5")
    name = {"run": "sync", "trace": "loop_sync", "analysis": "loop_sync"}[given]
    assert unquote(asked["url"]) == f"http://127.0.0.1:9001/{name}.json.gz"
    data, allowed = fetched(asked["url"], Origin=ORIGIN)
    assert allowed == ORIGIN
    (tmp_path / "fetched.json.gz").write_bytes(data)
    code, rest, errors = ended(process)
    assert (code, rest.splitlines()[-1], errors) == (0, "fetched", "")
    assert told.read_text().strip() == lines[0]
    assert idlescope("analyze", tmp_path / "fetched.json.gz").returncode == 0


@needs_port
def test_the_mode_of_a_run_can_be_chosen_and_perfetto_be_given_up(run):
    process, lines = viewing(run, "--perfetto", "--mode", "async", "--no-open")
    assert "9001/async.json.gz&" in lines[0]
    assert ended(process, signal.SIGINT)[0] == 130


def test_a_report_of_nsight_is_for_nsys_ui(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "report.html").write_text("a report")
    (folder / "sync.nsys-rep").write_bytes(b"NVIDIA Tegra Profiler Report")
    process, lines = viewing(folder, "--no-open")
    assert lines[2] == f"in Nsight: nsys-ui {folder}/sync.nsys-rep"
    assert ended(process, signal.SIGINT)[0] == 0


def test_what_cannot_be_shown_is_one_sentence(run, tmp_path):
    refused(idlescope("view", tmp_path / "none"), "does not exist")
    refused(idlescope("view", TRACE, "--mode", "sync"), "--mode")
    refused(idlescope("view", run, "--perfetto", "--mode", "fast"), "no fast")
    refused(idlescope("view", run, "--perfetto", "--port", "8000"), "9001")
    lone = shutil.copytree(
        run, tmp_path / "lone", ignore=shutil.ignore_patterns("summary.json")
    )
    refused(idlescope("view", lone, "--perfetto"), "give the trace itself")
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(idlescope("view", run, "--port", str(port)), f"port {port}", "in use")
