"""`idlescope.profile` around any loop."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest

import idlescope
from idlescope.errors import ConfigError

torch = pytest.importorskip("torch")


def loop(profile, steps):
    for _ in range(steps):
        with idlescope.range("schedule"):
            torch.ones(10).sum()
        with idlescope.range("prepare"):
            torch.ones(10).sum()
        profile.step()


class TestProfile:
    def test_three_lines(self, tmp_path, capfd):
        with idlescope.profile(tmp_path / "out", steps=5) as p:
            loop(p, 12)
        (host,) = p.analysis.host_phases
        assert (host.starts.size, host.spans) == (5, {"schedule": 5, "prepare": 5})
        assert p.trace == tmp_path / "out" / "trace.json.gz"
        assert "No device was seen" in p.report.read_text()
        assert "schedule" in p.report.read_text()
        assert (
            json.loads((tmp_path / "out" / "analysis.json").read_text())["phases"][0][
                "steps"
            ]
            == 5
        )
        said = [
            line
            for line in capfd.readouterr().err.splitlines()
            if line.startswith("idlescope: ")
        ]
        assert len(said) == 1
        assert "no device was seen" in said[0]

    def test_a_loop_in_another_thread(self, tmp_path):
        with idlescope.profile(tmp_path / "out", steps=5) as p:
            thread = threading.Thread(target=loop, args=(p, 6))  # ends within the window
            thread.start()
            thread.join()
        assert p.analysis.host_phases[0].starts.size == 3

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_what_ends_the_program_still_gives_a_trace(self, tmp_path, number):
        before = signal.signal(number, signal.SIG_DFL)
        try:
            with (  # noqa: PT012
                pytest.raises(SystemExit) as left,
                idlescope.profile(tmp_path / "out", steps=50) as p,
            ):
                loop(p, 8)
                os.kill(os.getpid(), number)
            assert signal.getsignal(number) is signal.SIG_DFL
        finally:
            signal.signal(number, before)
        assert left.value.code == 128 + number
        assert p.analysis.host_phases[0].starts.size == 5

    def test_a_signal_that_the_program_handles_is_the_programs(self, tmp_path):
        heard = []
        before = signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
        try:
            with idlescope.profile(tmp_path / "out", steps=5) as p:
                loop(p, 4)
                os.kill(os.getpid(), signal.SIGTERM)
                loop(p, 8)
        finally:
            signal.signal(signal.SIGTERM, before)
        assert heard == [True]

    def test_ctrl_c_while_it_is_analysed_says_what_is_whole(
        self, tmp_path, capfd, monkeypatch
    ):
        def interrupted(_path):
            raise KeyboardInterrupt

        monkeypatch.setattr("idlescope.profiling.open_trace", interrupted)
        with pytest.raises(KeyboardInterrupt), idlescope.profile(tmp_path / "out") as p:
            loop(p, 3)
        assert p.trace.exists()
        assert f"interrupted; {p.trace} is whole" in capfd.readouterr().err

    def test_an_exception_still_gives_a_trace(self, tmp_path):
        profile = idlescope.profile(tmp_path / "out", steps=50)
        with pytest.raises(ZeroDivisionError), profile as p:  # noqa: PT012
            loop(p, 8)
            1 / 0  # noqa: B018
        assert p.analysis.host_phases[0].starts.size == 5

    def test_everything_and_steps_without_ranges(self, tmp_path):
        with idlescope.profile(tmp_path / "out") as p:
            for _ in range(6):
                torch.ones(10).sum()
                p.step()
        (host,) = p.analysis.host_phases
        assert (host.found, host.spans) == ("ProfilerStep#", {})
        assert host.starts.size in {
            5,
            6,
        }  # the first is marked only by its end, the last by its start

    def test_a_decorator_profiles_each_call(self, tmp_path):
        @idlescope.profile(tmp_path / "out")
        def work():
            with idlescope.range("prepare"):
                values = torch.ones(10)
            with idlescope.range("submit"):
                values.sum()

        work()
        work()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out-2"]
        assert all((p / "report.html").exists() for p in tmp_path.iterdir())

    def test_too_few_steps_leave_nothing(self, tmp_path, capfd):
        with idlescope.profile(tmp_path / "out", steps=3) as p:
            p.step()
        assert p.trace is None
        assert not list(tmp_path.iterdir())
        assert (
            "the loop made 1 steps, and the first 3 are to warm up"
            in capfd.readouterr().err
        )

    def test_what_makes_no_sense(self, tmp_path):
        for options in ({"steps": 0}, {"steps": 3, "warmup": -1}):
            with pytest.raises(ConfigError, match="at least one step"):
                idlescope.profile(tmp_path / "out", **options)
        with pytest.raises(ConfigError, match="inside"):
            idlescope.profile(tmp_path / "out").step()
