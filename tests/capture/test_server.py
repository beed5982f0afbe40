"""A server that behaves as vLLM's and SGLang's documentation says, and its faults."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from idlescope.capture import server as capture
from idlescope.capture.server import Recording, record
from idlescope.errors import ConfigError, IdlescopeError, ServerError
from tests.cli.test_cli import idlescope, refused
from tests.conftest import FIXTURES

TRACE = FIXTURES / "transformers_sync.json.gz"


class Fake(ThreadingHTTPServer):
    """Writes its traces when it is told to stop, as both servers do; `faults` maps an endpoint to what it does."""

    daemon_threads = True

    def __init__(self, folder, ranks=1, faults=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.ranks, self.faults, self.asked = folder, ranks, faults or {}, []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # a client that went away

    def write(self):
        for rank in range(self.ranks):
            shutil.copy(TRACE, self.folder / f"new-rank{rank}.pt.trace.json.gz")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        fake, name = self.server, self.path.rsplit("/", 1)[-1]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fake.asked.append((name, json.loads(body) if body else None))
        fault = fake.faults.get(name)
        if callable(fault):
            fault(fake)
        elif fault == "dies":
            self.close_connection = True
            return
        elif fault is not None:
            self.send_response(fault[0])
            for key, value in fault[2].items() if len(fault) > 2 else ():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(fault[1])
            return
        elif name == "stop_profile":
            fake.write()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "traces").mkdir()
    shutil.copy(TRACE, tmp_path / "traces" / "old.json.gz")
    return tmp_path / "traces"


@pytest.fixture
def serve(folder):
    running = []

    def start(**options):
        fake = Fake(folder, **options)
        thread = threading.Thread(target=fake.serve_forever, args=(0.01,))
        thread.start()
        running.append((fake, thread))
        return fake

    yield start
    for fake, thread in running:
        fake.shutdown()
        fake.server_close()
        thread.join()


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(capture, "STABLE_S", 0.2)
    monkeypatch.setattr(capture, "POLL_S", 0.02)


def recorded(fake, engine="vllm", **options):
    given = {"seconds": 0.05, "timeout": 5.0, **options}
    return record(Recording(fake.url, engine, fake.folder, **given), lambda _: None)


def names(fake):
    return [name for name, _ in fake.asked]


@pytest.mark.usefixtures("soon")
class TestRecord:
    def test_vllm_is_started_and_stopped_without_a_body(self, serve):
        fake = serve()
        assert [p.name for p in recorded(fake)] == ["new-rank0.pt.trace.json.gz"]
        assert fake.asked == [("start_profile", None), ("stop_profile", None)]

    def test_sglang_is_told_where_to_write(self, serve):
        fake = serve()
        assert len(recorded(fake, "sglang")) == 1
        body = {"output_dir": str(fake.folder.resolve()), "activities": ["CPU", "GPU"]}
        assert fake.asked == [("start_profile", body), ("stop_profile", None)]

    def test_all_ranks_are_waited_for(self, serve):
        def late(fake):
            fake.write()
            timer = threading.Timer(0.5, shutil.copy, (TRACE, fake.folder / "new-rank9.json.gz"))
            timer.start()

        assert len(recorded(serve(faults={"stop_profile": late}), ranks=2)) == 2

    def test_a_file_that_is_still_written_is_waited_for(self, serve):
        data = TRACE.read_bytes()

        def slowly(fake):
            path = fake.folder / "new.json.gz"
            path.write_bytes(data[:1000])
            threading.Timer(0.6, path.write_bytes, (data,)).start()

        (path,) = recorded(serve(faults={"stop_profile": slowly}))
        assert path.read_bytes() == data

    def test_a_slow_stop_is_waited_for(self, serve):
        def slow(fake):
            time.sleep(0.5)
            fake.write()

        assert len(recorded(serve(faults={"stop_profile": slow}))) == 1

    @pytest.mark.parametrize(
        ("faults", "options", "asked", "parts"),
        [
            ({"start_profile": (404, b"{}")}, {}, 1, ("is not there (404)", "--profiler-config")),
            (
                {"start_profile": (500, b"in \n progress" + b"." * 999)},
                {},
                1,
                ("status 500: in progress...", "…"),
            ),
            (
                {"start_profile": (307, b"", {"Location": "http://127.0.0.1:9/"})},
                {},
                1,
                ("status 307",),
            ),
            ({"start_profile": "dies"}, {}, 2, ("ended the connection",)),
            (
                {"start_profile": lambda _: time.sleep(0.5)},
                {"timeout": 0.2},
                2,
                ("no trace appeared",),
            ),
            (
                {"stop_profile": (500, b"broken")},
                {},
                2,
                ("status 500: broken", "curl -X POST http"),
            ),
            ({"stop_profile": "dies"}, {}, 2, ("ended the connection", "curl -X POST http")),
            (
                {"stop_profile": lambda _: time.sleep(0.5)},
                {"timeout": 0.2},
                2,
                ("within 0.2 s", "curl -X POST http"),
            ),
            (
                {"stop_profile": lambda _: None},
                {"timeout": 0.3},
                2,
                ("no trace appeared", "torch_profiler_dir"),
            ),
            ({}, {"ranks": 2, "timeout": 0.5}, 2, ("1 of 2 traces appeared",)),
            (
                {"stop_profile": lambda f: (f.folder / "new.json").write_text('{"traceEvents": [')},
                {"timeout": 0.5},
                2,
                ("new.json was not written to its end",),
            ),
        ],
    )
    def test_faults_are_one_sentence_and_a_started_profiler_is_stopped(
        self, serve, faults, options, asked, parts
    ):
        fake = serve(faults=faults)
        if "start_profile" in faults and callable(faults["start_profile"]):
            fake.faults["stop_profile"] = lambda _: None
            parts = ("start_profile was not answered within",)
        with pytest.raises(ServerError) as caught:
            recorded(fake, **options)
        assert names(fake) == ["start_profile", "stop_profile"][:asked]
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
        for part in parts:
            assert part in str(caught.value)

    def test_ctrl_c_stops_it_and_a_failing_stop_keeps_the_exit_code(self, serve):
        def interrupt(text):
            if text.startswith("recording"):
                raise KeyboardInterrupt

        fake = serve()
        with pytest.raises(KeyboardInterrupt):
            record(Recording(fake.url, "vllm", fake.folder), interrupt)
        assert names(fake) == ["start_profile", "stop_profile"]
        fake.faults["stop_profile"] = (500, b"broken")
        with pytest.raises(IdlescopeError, match="curl") as caught:
            record(Recording(fake.url, "vllm", fake.folder), interrupt)
        assert caught.value.exit_code == 130

    def test_proxies_of_the_environment_are_not_used(self, serve, monkeypatch):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        assert len(recorded(serve())) == 1


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"url": "localhost:8000"}, "no address"),
        ({"url": "http://h:99999"}, "no address"),
        ({"url": "file:///etc"}, "no address"),
        ({"url": "http://h/ü"}, "no address"),
        ({"url": "http://me:secret@h"}, "without user"),
        ({"engine": "tgi"}, "vllm or sglang"),
        ({"seconds": 0.0}, "--seconds"),
        ({"timeout": float("nan")}, "--timeout"),
        ({"ranks": 0}, "--ranks"),
        ({"traces": FIXTURES / "missing"}, "is no folder"),
    ],
)
def test_what_cannot_be_recorded_is_refused(options, part):
    with pytest.raises(ConfigError, match=part) as caught:
        Recording(**{"url": "http://localhost:1", "engine": "vllm", "traces": FIXTURES, **options})
    assert "secret" not in str(caught.value)


class TestCommand:
    def test_two_ranks_are_analysed_and_older_traces_left_alone(self, serve, folder, tmp_path):
        fake, before = serve(ranks=2), (folder / "old.json.gz").read_bytes()
        options = ("--engine", "sglang", "--seconds", "0.1", "--traces", folder, "--ranks", "2")
        result = idlescope("capture", fake.url, *options, "--json", "--out", tmp_path / "out")
        assert result.returncode == 0, result.stderr
        analysis = json.loads(result.stdout)
        assert len(analysis["devices"]) == 2
        assert f"capture {fake.url}" in (tmp_path / "out" / "report.html").read_text(
            encoding="utf-8"
        )
        assert (folder / "old.json.gz").read_bytes() == before
        assert len(list(folder.iterdir())) == 3

    def test_a_server_that_is_not_there_leaves_no_folder(self, folder, tmp_path):
        options = ("--engine", "vllm", "--traces", folder, "--out", tmp_path / "out")
        refused(
            idlescope("capture", "http://127.0.0.1:9", *options), "cannot be reached", "refused"
        )
        assert not (tmp_path / "out").exists()

    def test_ctrl_c_stops_the_servers_profiler(self, serve, folder):
        fake = serve()
        command = [
            sys.executable,
            "-m",
            "idlescope",
            "capture",
            fake.url,
            "--engine",
            "vllm",
            "--seconds",
            "60",
        ]
        process = subprocess.Popen(
            [*command, "--traces", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        end = time.monotonic() + 20
        while not fake.asked and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130
        assert names(fake) == ["start_profile", "stop_profile"]
        assert said.endswith("not analysed\n")
        assert "Traceback" not in said
