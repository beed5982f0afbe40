"""A running server is recorded, whatever goes wrong, and its profiler is stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from idlescope.capture.server.capture import capture
from idlescope.capture.server.recording import Recording
from idlescope.errors import ConfigError, IdlescopeError, ServerError
from idlescope.trace import unprofiled
from tests.make.commands import idlescope, refused
from tests.make.servers import TRACE, Counting


@pytest.fixture
def folder(folder):
    """A trace of an earlier recording is there already."""
    shutil.copy(TRACE, folder / "old.json.gz")
    return folder


LIGHT = {"with_stack": False, "record_shapes": False}
MODERN, OLD = {"/version": '{"version": "0.33.0"}'}, {"/version": '{"version": "0.24.0"}'}


def captured(fake, engine="vllm", **options):
    given = {"seconds": 0.05, "timeout": 5.0, **options}
    return capture(Recording(fake.url, engine, fake.folder, **given), lambda _: None)


def recorded(fake, engine="vllm", **options):
    return captured(fake, engine, **options).traces


def names(fake):
    return [name for name, _ in fake.asked]


@pytest.mark.usefixtures("soon")
class TestRecord:
    @pytest.mark.parametrize("pages", [MODERN, {}])
    def test_vllm_is_told_to_leave_stacks_and_shapes_out(self, serve, pages):
        fake = serve(pages=pages)
        assert [p.name for p in recorded(fake)] == ["new-rank0.pt.trace.json.gz"]
        assert fake.asked == [
            ("start_profile", {"profiler_kwargs": LIGHT}),
            ("stop_profile", None),
        ]

    def test_stacks_and_shapes_are_asked_for(self, serve):
        fake = serve(pages=MODERN)
        recorded(fake, stacks=True, shapes=True)
        assert fake.asked[0][1] == {"profiler_kwargs": dict.fromkeys(LIGHT, True)}

    def test_an_older_vllm_gets_no_body_and_that_is_said(self, serve):
        fake = serve(pages=OLD)
        notes = captured(fake).notes
        assert fake.asked == [("start_profile", None), ("stop_profile", None)]
        assert (
            "it may have recorded stacks: start it with torch_profiler_with_stack"
            in notes[0]
        )
        assert "--stacks had no effect" in captured(serve(pages=OLD), stacks=True).notes[0]

    def test_a_vllm_that_refuses_the_body_is_asked_without(self, serve):
        fake = serve(
            faults={"start_profile": lambda f: (422, b"") if f.asked[-1][1] else None}
        )
        assert len(recorded(fake)) == 1
        assert fake.asked[1:] == [("start_profile", None), ("stop_profile", None)]

    def test_sglang_is_told_where_to_write_and_to_be_light(self, serve):
        fake = serve()
        assert len(recorded(fake, "sglang")) == 1
        body = {
            "output_dir": str(fake.folder.resolve()),
            "activities": ["CPU", "GPU"],
            **LIGHT,
        }
        assert fake.asked == [("start_profile", body), ("stop_profile", None)]

    def test_the_front_end_of_vllm_is_left_out_and_that_is_said(self, serve):
        result = captured(serve(front_end=True), ranks=1)
        assert [p.name for p in result.traces] == ["new-rank0.pt.trace.json.gz"]
        assert any(
            "left out, as it holds no GPU: host_1.async_llm.2" in n for n in result.notes
        )

    def test_dynamos_endpoints_are_below_a_path_and_its_counters_at_the_root(self, serve):
        fake = serve(pages={"/metrics": Counting().vllm})
        fake.url += "/engine/control"
        assert captured(fake).step is not None
        assert names(fake) == ["start_profile", "stop_profile"]

    def test_all_ranks_are_waited_for(self, serve):
        def late(fake):
            fake.write()
            timer = threading.Timer(
                0.5, shutil.copy, (TRACE, fake.folder / "new-rank9.json.gz")
            )
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
            (
                {"start_profile": (404, b"{}")},
                {},
                1,
                ("is not there (404)", "--profiler-config"),
            ),
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
            (
                {"stop_profile": "dies"},
                {},
                2,
                ("ended the connection", "curl -X POST http"),
            ),
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
                {
                    "stop_profile": lambda f: (f.folder / "new.json").write_text(
                        '{"traceEvents": ['
                    )
                },
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
            capture(Recording(fake.url, "vllm", fake.folder), interrupt)
        assert names(fake) == ["start_profile", "stop_profile"]
        fake.faults["stop_profile"] = (500, b"broken")
        with pytest.raises(IdlescopeError, match="curl") as caught:
            capture(Recording(fake.url, "vllm", fake.folder), interrupt)
        assert caught.value.exit_code == 130

    def test_proxies_of_the_environment_are_not_used(self, serve, monkeypatch):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        assert len(recorded(serve())) == 1


@pytest.mark.usefixtures("soon")
class TestSteps:
    def test_vllm_stops_after_so_many_and_its_front_end_is_stopped(self, serve):
        pages = {**MODERN, "/metrics": Counting(step_ms=2).vllm}
        fake = serve(pages=pages)
        start = time.monotonic()
        assert len(recorded(fake, steps=20, seconds=20)) == 1
        assert time.monotonic() - start < 10
        assert fake.asked[0][1] == {"profiler_kwargs": LIGHT, "max_iterations": 20}
        assert names(fake) == ["start_profile", "stop_profile"]

    def test_an_older_vllm_is_stopped_when_its_counters_say_so(self, serve):
        fake = serve(pages={**OLD, "/metrics": Counting(step_ms=2).vllm})
        assert len(recorded(fake, steps=20, seconds=20)) == 1
        assert fake.asked == [("start_profile", None), ("stop_profile", None)]

    def test_steps_that_did_not_come_are_said(self, serve):
        fake = serve(pages={**OLD, "/metrics": Counting(step_ms=200).vllm})
        notes = captured(fake, "vllm", steps=20, seconds=0.5).notes
        assert any("of 20 steps in 0.5 s: send it requests" in note for note in notes)

    def test_an_older_vllm_without_counters_cannot(self, serve):
        fake = serve(pages=OLD)
        with pytest.raises(ServerError, match=r"--steps needs vLLM 0\.33"):
            recorded(fake, steps=20)
        assert fake.asked == []

    def test_sglang_ends_by_itself_and_is_not_stopped(self, serve):
        fake = serve(faults={"start_profile": lambda fake: fake.write()})
        assert len(recorded(fake, "sglang", steps=7, seconds=20)) == 1
        assert names(fake) == ["start_profile"]
        assert fake.asked[0][1]["num_steps"] == 7

    def test_sglang_is_stopped_where_the_steps_do_not_come(self, serve):
        fake = serve()
        assert len(recorded(fake, "sglang", steps=7, seconds=0.1)) == 1
        assert names(fake) == ["start_profile", "stop_profile"]


@pytest.mark.usefixtures("soon")
class TestUnprofiledStep:
    @pytest.mark.parametrize("engine", ["vllm", "sglang"])
    def test_it_is_noted_beside_the_traces(self, serve, engine):
        fake = serve(pages={"/metrics": getattr(Counting(), engine)})
        result = captured(fake, engine)
        assert result.step == unprofiled.beside(result.traces[0])
        assert result.step.step_ms == pytest.approx(5, rel=0.2)
        assert result.step.low_ms <= result.step.step_ms <= result.step.high_ms
        assert any(
            "a step takes" in note and "unprofiled.json" in note for note in result.notes
        )

    def test_a_server_that_stays_slow_after_it_is_said_to(self, serve):
        quick, slow = Counting(step_ms=5), Counting(step_ms=20)
        counting = [quick]

        def start(fake):
            counting.append(slow)
            fake.write()

        def metrics():
            return counting[-1].vllm()

        fake = serve(pages={"/metrics": metrics}, faults={"start_profile": start})
        result = captured(fake, "vllm")
        assert result.step.step_ms == pytest.approx(5, rel=0.2)
        assert any("restart the server" in note for note in result.notes)

    def test_a_server_without_counters_is_said_to_tell_nothing(self, serve):
        result = captured(serve(), "sglang")
        assert result.step is None
        assert "start SGLang with --enable-metrics" in result.notes[-1]
        assert unprofiled.beside(result.traces[0]) is None

    @pytest.mark.parametrize("engine", ["vllm", "sglang"])
    def test_a_server_without_requests_is_said_to_have_none(self, serve, engine):
        fake = serve(pages={"/metrics": getattr(Counting(running=0), engine)})
        with pytest.raises(
            ServerError, match="served no request while its profiler was on"
        ):
            captured(fake, engine)
        assert names(fake) == ["start_profile", "stop_profile"]


@pytest.mark.usefixtures("soon")
class TestKey:
    @pytest.mark.parametrize(
        "variable", ["IDLESCOPE_API_KEY", "VLLM_API_KEY", "OPENAI_API_KEY"]
    )
    def test_it_is_sent_to_a_server_that_wants_one(self, serve, monkeypatch, variable):
        monkeypatch.setenv(variable, "sk-secret")
        fake = serve(key="sk-secret", pages={"/metrics": Counting().sglang})
        result = captured(fake, "sglang")
        assert names(fake) == ["start_profile", "stop_profile"]
        assert result.step is not None
        assert not any("secret" in note for note in result.notes)

    def test_it_is_sent_to_no_other(self, serve, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        fake = serve()
        recorded(fake)
        assert set(fake.keys) == {None}

    def test_a_wrong_one_is_not_repeated(self, serve, monkeypatch):
        fake = serve(key="another")
        with pytest.raises(ServerError, match=r"Unauthorized.*set IDLESCOPE_API_KEY"):
            captured(fake)
        monkeypatch.setenv("IDLESCOPE_API_KEY", "sk-secret")
        with pytest.raises(ServerError, match="status 401") as caught:
            captured(fake)
        assert "secret" not in str(caught.value)
        monkeypatch.setenv("IDLESCOPE_API_KEY", "sk-sécret")
        with pytest.raises(ConfigError, match="no HTTP header") as caught:
            captured(fake)
        assert "cret" not in str(caught.value)

    def test_stopping_by_hand_names_it_without_its_value(self, serve, monkeypatch):
        monkeypatch.setenv("IDLESCOPE_API_KEY", "sk-secret")
        fake = serve(key="sk-secret", faults={"stop_profile": (500, b"broken")})
        with pytest.raises(ServerError, match=r"Bearer \$IDLESCOPE_API_KEY") as caught:
            captured(fake)
        assert "secret" not in str(caught.value)


class TestCommand:
    def test_two_ranks_are_analysed_and_older_traces_left_alone(
        self, serve, folder, undrawn, tmp_path
    ):
        fake, before = serve(ranks=2), (folder / "old.json.gz").read_bytes()
        options = (
            "--engine",
            "sglang",
            "--seconds",
            "0.1",
            "--traces",
            folder,
            "--ranks",
            "2",
        )
        result = idlescope(
            "capture", fake.url, *options, "--json", "--out", tmp_path / "out"
        )
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
            idlescope("capture", "http://127.0.0.1:9", *options),
            "cannot be reached",
            "refused",
        )
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_what_ends_it_stops_the_servers_profiler(self, serve, folder, number):
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
            [*command, "--traces", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
            # under nohup the tests' own process ignores a hang-up, and children would, too
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509
        )
        end = time.monotonic() + 20
        while not fake.asked and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130
        assert names(fake) == ["start_profile", "stop_profile"]
        assert said.endswith("not analysed\n")
        assert "Traceback" not in said


@pytest.mark.parametrize(
    "page",
    ["[" * 100_000, "null", '{"version": 5}', '{"version": "new.est"}', "9" * 5_000, "\0"],
    ids=["deep", "null", "number", "words", "digits", "nothing"],
)
def test_whatever_a_server_says_of_its_version_the_profiler_is_asked(page):
    from types import SimpleNamespace

    from idlescope.capture.server.profile import _takes_options

    address = SimpleNamespace(path="/")
    client = SimpleNamespace(get=lambda _: page, server=SimpleNamespace(address=address))
    assert _takes_options(client)
