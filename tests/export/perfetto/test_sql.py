"""In Perfetto's own engine, our SQL gives the figures of the analysis, to the nanosecond."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

import idlescope
from idlescope.export.perfetto import writer
from idlescope.export.perfetto.sql import MODULE, module_text
from tests.conftest import FIXTURES
from tests.make import perfetto_browser
from tests.make.commands import idlescope as command
from tests.make.kineto_files import call, operation, span, write

pytestmark = pytest.mark.browser
KINETO = ("loop_sync", "loop_eager", "transformers_sync", "vllm_8b_async")
WRITTEN = ("nsys_cpu", "run")  # by us
NAMES = (*KINETO, *WRITTEN, "small", "two_devices")
# two streams that overlap, a copy that was launched late, a kernel without a call, two records of
# one call, a call on another thread's stack
SMALL = [
    span(0, 100_000, "loop"),
    span(20_000, 38_000, "prepare"),
    span(25_000, 30_000, "tokenize"),
    call(1_000, 2_000, 1),
    call(40_000, 46_000, 2),
    call(41_000, 45_000, 2, name="cuLaunchKernel"),
    call(47_000, 48_000, 3),
    operation(10_000, 20_000, correlation=1),
    operation(12_000, 15_000, "memcpy", correlation=1),
    operation(50_000, 60_000, correlation=2),
    operation(60_500, 60_700, correlation=3),
    operation(70_000, 80_000, correlation=99),
]


def two_devices():
    """One thread that launches on two devices."""
    events = [span(0, 900_000, "loop")]
    for number in range(1, 20):
        start = 40_000 * number
        events += [
            span(start, start + 5_000 + 50 * number, "prepare"),
            call(start + 6_000, start + 7_000, 2 * number),
            call(start + 8_000, start + 9_000, 2 * number + 1),
            operation(start + 10_000, start + 20_000, correlation=2 * number),
            operation(start + 12_000, start + 33_000, correlation=2 * number + 1, device=1),
        ]
    return events


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    for name in KINETO:
        shutil.copy(FIXTURES / f"{name}.json.gz", folder)
    write(folder / "small.json.gz", SMALL)
    write(folder / "two_devices.json.gz", two_devices())
    config = idlescope.RunConfig(
        model="1b",
        device="modelled:h200",
        tokens=40,
        batch_size=4,
        host_ms=2.0,
        device_ms=5.0,
    )
    written = {
        "run": idlescope.run(config).modes["sync"].trace,
        "nsys_cpu": idlescope.open(FIXTURES / "nsys_cpu.sqlite"),
    }
    for name, trace in written.items():
        writer.write(trace, folder / f"{name}.json.gz", idlescope.analyze(trace).results)
    return folder


@pytest.fixture(scope="module")
def address(traces):
    with perfetto_browser.served(traces) as served:
        yield served


@pytest.fixture(scope="module")
def ui(chromium, address):
    with perfetto_browser.without_trace(chromium, address) as opened:
        yield opened


@pytest.fixture
def asked(request, ui, address, traces):
    """The engine with a trace and our module in it, and the analysis of the same file."""
    name = request.param
    ui.open(f"{address}/traces/{name}.json.gz")
    ui.rows(module_text())
    trace = idlescope.open(traces / f"{name}.json.gz")
    return ui, idlescope.analyze(trace).results if len(trace.operations) else ()


@pytest.mark.parametrize("asked", NAMES, indirect=True)
def test_idle_and_its_causes_are_those_of_the_analysis(asked):
    ui, results = asked
    devices = ui.rows(
        "select operations, gaps, idle, dur from idlescope_device", operations="n", gaps="n", idle="n", dur="n"
    )  # fmt: skip
    assert sorted(devices) == sorted(
        [result.operations_inside, len(result.gaps), result.occupancy.idle_ns, result.occupancy.window_ns]
        for result in results
    )  # fmt: skip
    causes = ui.rows(
        "select upid, cause, idle from idlescope_idle_by_cause",
        upid="n",
        cause="s",
        idle="n",
    )
    assert sorted((cause, ns) for _, cause, ns in causes) == sorted(
        (cause, ns)
        for result in results
        for cause, ns in result.gaps.totals().items()
        if ns
    )
    by_device = Counter()
    for upid, _, ns in causes:
        by_device[upid] += ns
    assert sorted(by_device.values()) == sorted(idle for _, _, idle, _ in devices if idle)

    # The parts are all of idle, and what the host did is all of the host's part.
    (parts,) = ui.rows("select coalesce(sum(dur), 0) as ns from idlescope_gap_part", ns="n")
    assert parts == [sum(result.occupancy.idle_ns for result in results)]
    (host,) = ui.rows(
        "select coalesce(sum(idle), 0) as ns from idlescope_idle_by_host", ns="n"
    )
    assert host == [sum(result.gaps.totals()["host"] for result in results)]
    no_time = "select count(*) as n from idlescope_idle_by_host where idle <= 0"
    assert ui.rows(no_time, n="n") == [[0]]


@pytest.mark.parametrize("asked", ["small"], indirect=True)
def test_host_idle_is_named_by_the_innermost_slice(asked):
    ui, _ = asked
    named = dict(
        ui.rows("select name, idle from idlescope_idle_by_host", name="s", idle="n")
    )
    assert named == {"prepare": 13_000, "loop": 2_000, "tokenize": 5_000}
    gaps = ui.rows(
        "select dur, host, launch, queued, unattributed, call from idlescope_gap order by ts",
        dur="n", host="n", launch="n", queued="n", unattributed="n", call="s",
    )  # fmt: skip
    assert [gap[:5] for gap in gaps] == [
        [30_000, 20_000, 10_000, 0, 0],
        [500, 0, 0, 500, 0],
        [9_300, 0, 0, 0, 9_300],
    ]


@pytest.mark.parametrize("asked", WRITTEN, indirect=True)
def test_what_we_wrote_as_a_track_is_the_same(asked):
    ui, _ = asked
    recorded = ui.rows(
        "select cause, idle from idlescope_recorded_cause", cause="s", idle="n"
    )
    counted = ui.rows(
        "select cause, idle from idlescope_idle_by_cause", cause="s", idle="n"
    )
    assert sorted(recorded) == sorted(counted)


@pytest.mark.parametrize("asked", ["small"], indirect=True)
def test_the_module_may_be_run_again(asked):
    ui, _ = asked
    ui.rows(module_text())
    assert ui.rows("select count(*) as n from idlescope_gap", n="n") == [[3]]


def test_it_is_printed():
    assert command("convert", "--perfetto-sql").stdout == MODULE.read_text("utf-8")
