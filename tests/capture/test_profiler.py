"""`run --profile`, `idlescope.profile` and the command for nsys."""

from __future__ import annotations

import json
import os
import stat
import threading

import pytest

import idlescope
from idlescope.capture import nsys
from idlescope.capture.window import ProfiledSteps
from idlescope.errors import ConfigError
from idlescope.experiment import profiled

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("torch", (31, 51)),
        ("torch:50", (61, 111)),
        ("nsys:100-119", (100, 120)),
        ("torch:0-1", (0, 2)),
    ],
)
def test_what_is_recorded(text, window):
    choice = ProfiledSteps.parse(text)
    assert (choice.tool, choice.first, choice.last) == (text.split(":")[0], *window)


@pytest.mark.parametrize(
    "text", ["perf", "torch:", "torch:1", "torch:9-8", "torch:a", "torch:1-2-3", "torch:-5"]
)
def test_what_is_no_window(text):
    if text == "torch:":
        assert ProfiledSteps.parse(text) == ProfiledSteps.parse("torch")
        return
    with pytest.raises(ConfigError, match="--profile"):
        idlescope.RunConfig(profile=text)


def test_steps_beside_the_window():
    each = [
        9,
        9,
        9,
        9,
        9,
        9,
        9,
        2,
        2,
        2,
        2,
        2,
        2,
        50,
        50,
        50,
        50,
        4,
        4,
        4,
        4,
        70,
        3,
        3,
        3,
        3,
        3,
        9,
    ]  # ns
    starts = profiled.np.concatenate(([0], profiled.np.cumsum(each)))
    # the window is 17 to 21; its profiler gets ready from step 14, so 13 is the last before; 21 holds the stop
    times = profiled.step_times(starts, 17, 22)
    assert times == {"before": 2.0, "inside": 4.0, "after": 3.0}
    assert profiled.step_times(starts, 1, 4)["before"] is None
    assert profiled.step_times(starts, 22, 28)["after"] is None


def test_a_run_too_short_to_be_profiled_says_so(tmp_path):
    run = idlescope.run(
        idlescope.RunConfig(
            model="tiny", device="cpu", mode="sync", tokens=5, batch_size=2, profile="torch"
        ),
        folder=tmp_path,
    )
    assert run.modes["sync"].profiled is None
    assert any("ended after 5 steps, before step 31" in note for note in run.notes)
    assert not list(tmp_path.iterdir())
    assert "profiled" not in run.summary()["modes"]["sync"]


@pytest.mark.parametrize(("steps", "recorded"), [(13, None), (16, (12, 15))])
def test_a_run_that_is_stopped_in_its_window_keeps_what_there_is(tmp_path, steps, recorded):
    def stop(mode, engine):
        if engine.steps == steps:
            raise KeyboardInterrupt

    config = idlescope.RunConfig(
        model="tiny", device="cpu", mode="async", tokens=40, batch_size=2, profile="torch:12-20"
    )
    run = idlescope.run(config, stop, folder=tmp_path)
    assert run.interrupted
    profiled = run.modes["async"].profiled
    # the newest step was in flight: nothing is known of it
    assert (None if profiled is None else (profiled.first, profiled.last)) == recorded
    assert not any("nothing was profiled" in note for note in run.notes)


def test_a_modelled_device_has_nothing_to_profile(tmp_path):
    with pytest.raises(ConfigError, match="measured device"):
        idlescope.run(idlescope.RunConfig(device="modelled", profile="torch"), folder=tmp_path)
    with pytest.raises(ConfigError, match="folder"):
        idlescope.run(idlescope.RunConfig(device="cpu", model="tiny", profile="torch"))


class TestNsys:
    CONFIG = idlescope.RunConfig(
        model="tiny", device="cpu", mode="sync", tokens=40, batch_size=2, profile="nsys:10-19"
    )

    def test_without_nsys_the_command_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        run = idlescope.run(self.CONFIG, folder=tmp_path)
        (note,) = [note for note in run.notes if "nsys" in note]
        assert "nsys is not on PATH" in note
        for part in ("--cuda-graph-trace=node", "--nvtx-capture=window@idlescope", "--capture-range=nvtx",
                     "NSYS_NVTX_PROFILER_REGISTER_ONLY=0", "--profile nsys:10-19", "--mode sync"):  # fmt: skip
            assert part in note
        assert "--trace=cuda,nvtx" in note

    @pytest.mark.parametrize(
        ("script", "said"),
        [
            ("exit 3", "the run under nsys failed: it said nothing"),
            ("echo 'no permission' >&2; exit 1", "the run under nsys failed: no permission"),
            (
                'while [ "$1" != -m ]; do last=$1; shift; done; exec "$last" "$@"',
                "nsys recorded nothing",
            ),
        ],
    )
    def test_what_goes_wrong_is_said(self, tmp_path, monkeypatch, script, said):
        tool = tmp_path / "bin" / "nsys"
        tool.parent.mkdir()
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
        run = idlescope.run(self.CONFIG, folder=tmp_path)
        assert any(said in note for note in run.notes), run.notes
        assert run.modes["sync"].profiled is None

    def test_a_run_under_nsys_starts_no_other(self, tmp_path, monkeypatch):
        monkeypatch.setenv(nsys.UNDER_NSYS, "1")
        monkeypatch.setattr(nsys, "on_path", lambda: pytest.fail("nsys within nsys"))
        assert idlescope.run(self.CONFIG, folder=tmp_path).modes["sync"].profiled is None


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
            json.loads((tmp_path / "out" / "analysis.json").read_text())["phases"][0]["steps"] == 5
        )
        said = [
            line for line in capfd.readouterr().err.splitlines() if line.startswith("idlescope: ")
        ]
        assert len(said) == 1
        assert "no device was seen" in said[0]

    def test_a_loop_in_another_thread(self, tmp_path):
        with idlescope.profile(tmp_path / "out", steps=5) as p:
            thread = threading.Thread(target=loop, args=(p, 6))  # ends within the window
            thread.start()
            thread.join()
        assert p.analysis.host_phases[0].starts.size == 3

    def test_an_exception_still_gives_a_trace(self, tmp_path):
        with pytest.raises(ZeroDivisionError), idlescope.profile(tmp_path / "out", steps=50) as p:  # noqa: PT012
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
                torch.ones(10).sum()

        work()
        work()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out-2"]
        assert all((p / "report.html").exists() for p in tmp_path.iterdir())

    def test_too_few_steps_leave_nothing(self, tmp_path, capfd):
        with idlescope.profile(tmp_path / "out", steps=3) as p:
            p.step()
        assert p.trace is None
        assert not list(tmp_path.iterdir())
        assert "the loop made 1 steps, and the first 3 are to warm up" in capfd.readouterr().err

    def test_what_makes_no_sense(self, tmp_path):
        for options in ({"steps": 0}, {"steps": 3, "warmup": -1}):
            with pytest.raises(ConfigError, match="at least one step"):
                idlescope.profile(tmp_path / "out", **options)
        with pytest.raises(ConfigError, match="inside"):
            idlescope.profile(tmp_path / "out").step()
