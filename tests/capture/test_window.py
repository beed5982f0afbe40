"""Which steps a profiler records, and what a run keeps of them."""

from __future__ import annotations

import pytest

import idlescope
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
    # the window is 17 to 21; its profiler gets ready from step 14, so 13 is the last before; 21
    # holds the stop
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
        model="tiny",
        device="cpu",
        mode="async",
        tokens=40,
        batch_size=2,
        profile="torch:12-20",
    )
    run = idlescope.run(config, stop, folder=tmp_path)
    assert run.interrupted
    profiled = run.modes["async"].profiled
    # the newest step was in flight: nothing is known of it
    assert (None if profiled is None else (profiled.first, profiled.last)) == recorded
    assert not any("nothing was profiled" in note for note in run.notes)


def test_a_modelled_device_has_nothing_to_profile(tmp_path):
    with pytest.raises(ConfigError, match="measured device"):
        idlescope.run(
            idlescope.RunConfig(device="modelled", profile="torch"), folder=tmp_path
        )
    with pytest.raises(ConfigError, match="folder"):
        idlescope.run(idlescope.RunConfig(device="cpu", model="tiny", profile="torch"))
