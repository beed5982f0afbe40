"""What NVTX and torch.profiler are told, by tools that listen, against the step clock."""

from __future__ import annotations

import collections
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import idlescope
from idlescope.analysis.steps.host_phases import phase_times
from idlescope.capture import ranges
from idlescope.trace.names.own_engine import ENGINE_PHASES
from idlescope.trace.names.span_names import recognise
from tests.make.commands import ROOT
from tests.make.undrawn import UNDRAWN

pytest.importorskip("nvtx")
COMPILER = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """A tool that writes down every NVTX call."""
    if COMPILER is None or sys.platform != "linux":
        pytest.skip("the NVTX probe needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("probe") / "libprobe.so"
    source = Path(__file__).with_name("nvtx_probe.c")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    return library


def told(probe, path, *command):
    """Run a command under the probe; return its lines.

    Call, domain, message, category, colour, payload, id, thread.
    """
    environment = {
        **os.environ,
        "NVTX_INJECTION64_PATH": str(probe),
        "NVTX_PROBE_OUT": str(path),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in path.read_text().splitlines()]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_nvtx_is_told_what_the_step_clock_records(probe, tmp_path, mode):
    options = (
        "--device modelled --model tiny --tokens uniform:3,9 --batch-size 4 --requests 11 "
        "--arrival poisson:500 "
        f"--host-ms 1 --device-ms 2 --mode {mode}"
    )
    command = ("run", *options.split(), "--out", tmp_path / "out")
    lines = told(probe, tmp_path / "calls.tsv", "-c", UNDRAWN, *command)
    trace = idlescope.open(tmp_path / "out" / f"{mode}.recording")
    kept = trace.ranges.take(trace.ranges.kind == 0)
    clock = [(trace.names[n], int(s)) for n, s in zip(kept.name, kept.step, strict=True)]
    assert {line[1] for line in lines} == {"idlescope"}
    categories = {line[3]: line[2] for line in lines if line[0] == "category"}

    pushed, depth, phase, steps = [], 0, [], len({step for _, step in clock if step >= 0})
    for call, _, message, category, colour, payload, *_ in lines:
        if call == "push":
            pushed.append((message, int(payload)))
            phase.append(message)
            depth += 1
            assert depth == 1, "phases do not nest in each other"
            assert (categories[category], int(colour, 16)) == (
                message,
                ranges.COLOURS[message],
            )
        elif call == "pop":
            depth -= 1
            phase.pop()
    assert depth == 0
    # a schedule that found nothing is of no step yet: under NVTX it has the number of the next one
    fruitless = [i for i, (name, step) in enumerate(clock) if step < 0]
    assert fruitless
    assert all(clock[i][0] == "schedule" for i in fruitless)
    numbers = iter(range(steps + 1))
    following, number = [], 0
    for name, step in clock:
        if name == "schedule" and step >= 0:
            number = next(numbers) + 1
        following.append((name, number if step < 0 else step))
    assert pushed == following
    assert collections.Counter(name for name, _ in pushed)["prepare"] == steps

    open_ranges, slots = {}, {}
    for call, _, message, category, _, payload, handle, _ in lines:
        if call == "start":
            assert categories[category] == message.split()[0]
            open_ranges[handle] = (message, int(payload))
            if message.startswith("slot"):
                slots[int(payload)] = message
                assert sum(m == message for m, _ in open_ranges.values()) == 1, (
                    "a slot holds one step at a time"
                )
        elif call == "end":
            del open_ranges[handle]
    assert not open_ranges
    assert slots == {
        i: "slot " + "AB"[i % 2 if mode == "async" else 0] for i in range(steps)
    }

    marks = collections.defaultdict(list)
    for call, _, message, category, _, payload, *_ in lines:
        if call == "mark":
            assert categories[category] == "request"
            marks[message].append(int(payload))
    assert marks.keys() == {"arrival", "first token", "finish"}
    assert all(sorted(ids) == list(range(11)) for ids in marks.values())


def test_a_user_s_range_and_mark(probe, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import idlescope\n"
        "from idlescope.capture.ranges import mark\n"
        "with idlescope.range('tokenize', step=7):\n"
        "    with idlescope.range('inner', phase='prepare'):\n"
        "        mark('here', number=3)\n"
        "@idlescope.range('decorated')\n"
        "def again(n):\n"
        "    return n and again(n - 1)\n"
        "again(2)\n"
        "try:\n"
        "    with idlescope.range('failing'):\n"
        "        raise ValueError\n"
        "except ValueError:\n"
        "    pass\n"
    )
    lines = [
        line
        for line in told(probe, tmp_path / "calls.tsv", program)
        if line[0] != "category"
    ]
    assert [(line[0], line[2], line[5]) for line in lines] == [
        ("push", "tokenize", "7"),
        ("push", "inner", "-"),
        ("mark", "here", "3"),
        ("pop", "", "-"),
        ("pop", "", "-"),
        *[("push", "decorated", "-")] * 3,
        *[("pop", "", "-")] * 3,
        ("push", "failing", "-"),
        ("pop", "", "-"),
    ]


def test_a_tool_that_nvtx_does_not_see_is_named(monkeypatch):
    monkeypatch.setenv("NVTX_INJECTION64_PATH", "/opt/old-nsys.so")
    monkeypatch.setattr(ranges, "_is_dummy", lambda domain: True)
    assert "/opt/old-nsys.so is attached and nvtx" in ranges.nvtx_problem()
    assert "nvtx==0.2.11" in ranges.nvtx_problem()
    ranges.nvtx_listens.cache_clear()
    try:
        with pytest.warns(UserWarning, match="does not see it"):
            assert not ranges.nvtx_listens()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with idlescope.range("once is enough"):
                pass
    finally:
        ranges.nvtx_listens.cache_clear()
    monkeypatch.setenv("NVTX_DISABLE", "1")
    assert ranges.nvtx_problem() is None
    monkeypatch.delenv("NVTX_INJECTION64_PATH")
    assert ranges.nvtx_problem() is None


def durations(trace, phase):
    """Return how long each range of a phase that worked on a step took, by start."""
    ranges = trace.ranges
    rows = ranges.name == trace.name_index(phase)
    if (
        ranges.step[rows] >= 0
    ).any():  # the step clock's: a schedule may have found nothing
        rows &= ranges.step >= 0
    return (ranges.end - ranges.start)[rows]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_torch_profiler_sees_the_phases(tmp_path, mode):
    pytest.importorskip("torch")
    # phases so long that entering and leaving a range, 10 to 20 us on a busy machine, is less than
    # 2 % of each
    config = idlescope.RunConfig(
        model="tiny",
        device="cpu",
        mode=mode,
        tokens=34,
        batch_size=4,
        host_ms=100,
        profile="torch:10-29",
    )
    run = idlescope.run(config, folder=tmp_path)
    profiled = run.modes[mode].profiled
    assert (profiled.first, profiled.last, profiled.problem) == (10, 30, None)
    (host,) = profiled.analysis.host_phases
    assert (host.starts.size, host.spans) == (20, dict.fromkeys(ENGINE_PHASES, 20))
    assert profiled.analysis.engine == "idlescope"
    clock = profiled.phase_ns["step clock"]
    assert clock.keys() == host.total_ns.keys()
    trace = run.modes[mode].trace
    by_profiler = idlescope.open(profiled.path)
    for name in ("schedule", "prepare", "update"):
        assert clock[name] / 20 > 1_500_000
        # step by step: a busy machine stops the loop between the two clocks' readings, or makes
        # them slow, in many steps but not in all; a range around something else differs in all
        ratios = durations(by_profiler, name) / durations(trace, name)[10:30]
        assert np.abs(ratios - 1).min() < 0.02, name
        assert np.median(ratios) == pytest.approx(1, rel=0.25), name
    # by the recording itself, counted here
    known = recognise(trace.names, range(len(trace.names)))
    starts = trace.ranges.start[
        (trace.ranges.name == trace.name_index("schedule")) & (trace.ranges.step >= 0)
    ]
    times, spans = phase_times(trace, 0, known, int(starts[10]), int(starts[30]))
    assert times == clock
    assert spans == host.spans
    assert host.step_ns == pytest.approx(
        np.median(np.diff(starts[10:30])), rel=0.02
    )  # of 100 ms
    summary = run.summary()["modes"][mode]["profiled"]
    assert (list(summary["steps"]), summary["steps_found"], summary["trace"]) == (
        [10, 30],
        20,
        f"{mode}.kineto.json.gz",
    )
    assert summary["idle_pct"]["profiler"] is None
    assert summary["observer_pct"] is not None
