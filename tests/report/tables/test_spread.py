"""Steps by kind, and gaps by length and cause, as tables of figures that are known."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

import idlescope
from idlescope.report.tables.spread import (
    KIND_COLUMNS,
    kind_rows,
    length_columns,
    length_rows,
    spread_tables,
)
from tests.conftest import FIXTURES
from tests.make.engine_loops import DECODE, Loop, prefills_and_decodes, vllm_dummies
from tests.make.kineto_files import call, operation, write

MIXED = "execute_context_1(64)_generation_8(8)"
PREFILL = "execute_context_1(64)_generation_0(0)"
US, MS = 1_000, 1_000_000


def analysed(tmp_path, events):
    (device,) = idlescope.analyze(
        idlescope.open(write(tmp_path / "t.json", events))
    ).results
    return device


def of_every_kind():
    """Synchronous steps: four prefills of 2 ms a kernel, mixed ones of 3 ms, decodes of 1 ms."""
    loop = Loop()
    for name, kernel_ns in ((PREFILL, 2 * MS), (MIXED, 3 * MS), (DECODE, MS)) * 4:
        loop.wait(loop.launch(name, kernel_ns=kernel_ns))
    return loop.events


def test_each_kind_of_step_has_figures_of_its_own(tmp_path):
    rows = dict(kind_rows(analysed(tmp_path, of_every_kind())))
    assert list(rows) == ["prefill", "decode", "mixed"]
    device_work = KIND_COLUMNS.index("device work")
    assert [cells[0] for cells in rows.values()] == ["4", "4", "4"]
    assert rows["prefill"][device_work] == "8 ms"
    assert rows["decode"][device_work] == "4 ms"
    assert rows["mixed"][device_work] == "12 ms"


def test_the_same_idle_time_is_a_larger_share_of_a_shorter_step(tmp_path):
    rows = dict(kind_rows(analysed(tmp_path, of_every_kind())))
    share = {kind: float(cells[-1].removesuffix(" %")) for kind, cells in rows.items()}
    assert share["decode"] > share["prefill"] > share["mixed"] > 0


def test_dummy_batches_have_a_row_of_their_own(tmp_path):
    rows = dict(kind_rows(analysed(tmp_path, vllm_dummies(worked=5, dummies=25))))
    assert rows["decode"][0] == "5"
    assert rows["empty"][0] == "25"
    assert rows["empty"][KIND_COLUMNS.index("device work")] == "4 ms"


def test_one_kind_of_step_needs_no_table(tmp_path):
    loop = Loop()
    for _ in range(6):
        loop.wait(loop.launch(DECODE))
    assert kind_rows(analysed(tmp_path, loop.events)) == []


@pytest.fixture
def gaps_of_known_causes(tmp_path):
    """Gaps of 5 and 50 us and 2 ms: queued, launch, and host but for the launch's 10 us."""
    events = [
        call(0, 10 * US, 1),
        call(10 * US, 20 * US, 2),
        operation(20 * US, 100 * US, correlation=1),
        # launched in time: queued
        operation(105 * US, 200 * US, correlation=2),
        # the call begins before the gap and returns in it: launch
        call(190 * US, 245 * US, 3),
        operation(250 * US, 300 * US, correlation=3),
        # the call begins when the device has long run dry: host, then launch
        call(2_290 * US, 2_300 * US, 4),
        operation(2_300 * US, 2_400 * US, correlation=4),
    ]
    return analysed(tmp_path, events)


def test_gaps_stand_by_length_with_their_causes(gaps_of_known_causes):
    device = gaps_of_known_causes
    assert length_columns(device) == (
        "gaps",
        "idle",
        "% of idle",
        "host",
        "launch",
        "queued",
    )
    assert length_rows(device) == [
        ("below 10 µs", ["1", "5 µs", "0.2 %", "–", "–", "0.2 %"]),
        ("10 µs to 100 µs", ["1", "50 µs", "2.4 %", "–", "2.4 %", "–"]),
        ("1 ms to 10 ms", ["1", "2 ms", "97.3 %", "96.8 %", "0.5 %", "–"]),
    ]


def test_no_cell_is_wrapped_on_a_terminal_of_80_columns():
    (device,) = idlescope.analyze(idlescope.open(FIXTURES / "vllm_8b_sync.json.gz")).results
    console = Console(width=80, file=io.StringIO())
    for table in spread_tables(device):
        console.print(table)
    lines = console.file.getvalue().splitlines()
    labels = [label for label, _ in length_rows(device)]
    assert [line.split("  ")[0] for line in lines[3:]] == labels


def test_kinds_fit_80_columns_too(tmp_path):
    console = Console(width=80, file=io.StringIO())
    device = analysed(tmp_path, prefills_and_decodes(5))
    console.print(spread_tables(device)[0])
    lines = console.file.getvalue().splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["prefill", "decode"]
