"""The tables of a run: its modes side by side, and what a profiler saw of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table

from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.latency import PERCENTILES
from idlescope.palette import MODE_TITLES
from idlescope.report.tables.terminal import IDLE_PER_STEP, INDENT, Rows, side_by_side
from idlescope.report.text import NOTHING, milliseconds, share, shorten

MAX_HOST_ROWS = 6  # largest divisions of `host`
HOST_NAME_WIDTH = 32
BETWEEN_PERCENTILES = " / "
CLOCKS = ("step clock", "profiler")
FIGURES = (  # label, key of a mode's summary, format
    ("total time", "total_s", "{:,.2f} s"),
    ("tokens/s", "tokens_per_s", "{:,.1f}"),
    ("steps", "steps", "{:,}"),
    ("device active", "active_pct", "{:.2f} %"),
    ("device compute", "compute_pct", "{:.2f} %"),
    ("idle per step", "idle_ms_per_step", "{:.3f} ms"),
    ("host work per step", "host_ms_per_step", "{:.3f} ms"),
    ("device work per step", "device_ms_per_step", "{:.3f} ms"),
    ("roofline", "roofline_pct", "{:.1f} %"),
)
LATENCIES = {  # label: key of a mode's summary
    "TTFT": "ttft_ms",
    "time per output token": "time_per_output_token_ms",
    "latency": "latency_ms",
}
ModeSummary = dict[str, Any]  # an entry of `modes` in summary.json
ProfiledWindow = dict[str, Any]  # `profiled` in it


def run_table(summary: dict[str, Any]) -> Table:
    """Return all that is known of a run's modes, side by side, of its summary (summary.json)."""
    return side_by_side("", mode_titles(summary), mode_rows(summary))


def run_title(summary: dict[str, Any]) -> str:
    """Return what a run was on, and whether its times are measured."""
    device = summary["device"]
    device_kind = "measured" if device["measured"] else "modelled, not measured"
    return f"{device['name']} · {device_kind}"


def mode_titles(summary: dict[str, Any]) -> list[str]:
    """Return what the columns of a run are called: its modes."""
    return [MODE_TITLES[mode_name] for mode_name in summary["modes"]]


def mode_rows(summary: dict[str, Any]) -> Rows:
    """Return all rows of a run: a label, and one cell for each mode."""
    table_rows = figure_rows(summary)
    for cause_name in CAUSES:
        table_rows += _cause_rows(list(summary["modes"].values()), cause_name)
    return table_rows


def figure_rows(summary: dict[str, Any]) -> Rows:
    """Return the rows of a run without those of causes, which the page has elsewhere."""
    mode_summaries = list(summary["modes"].values())
    table_rows = [_figure_row(mode_summaries, *figure) for figure in FIGURES]
    table_rows += _latency_rows(mode_summaries)
    if predicted := summary["predicted"]:
        table_rows.insert(1, _predicted_row(list(summary["modes"]), predicted))
    if any(mode_summary["preemptions"] for mode_summary in mode_summaries):
        table_rows.append(_figure_row(mode_summaries, "preemptions", "preemptions", "{:,}"))
    return table_rows


def _cause_rows(modes: list[ModeSummary], cause: str) -> Rows:
    """Return a cause's row, below `host` those of what the host was in; none where none is idle."""
    if not any(mode_summary["cause_ns"][cause] for mode_summary in modes):
        return []
    cause_cells = [
        _idle_per_step(mode_summary, mode_summary["cause_ns"][cause])
        for mode_summary in modes
    ]
    rows = [(f"{IDLE_PER_STEP}{cause}", cause_cells)]
    if cause != "host":
        return rows
    for host_part in _largest_host_parts(modes):
        part_cells = [
            _idle_per_step(mode_summary, mode_summary["host_ns"].get(host_part, 0))
            for mode_summary in modes
        ]
        rows.append((f"{INDENT}{shorten(host_part, HOST_NAME_WIDTH)}", part_cells))
    return rows


def _figure_row(
    modes: list[ModeSummary], label: str, key: str, form: str
) -> tuple[str, list[str]]:
    return label, [_number(mode_summary[key], form) for mode_summary in modes]


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)


def _latency_rows(modes: list[ModeSummary]) -> Rows:
    """Return percentiles of latencies, of those that any mode has."""
    return [
        latency_row(modes, latency_label)
        for latency_label, latency_key in LATENCIES.items()
        if any(mode_summary[latency_key] for mode_summary in modes)
    ]


def latency_row(
    modes: list[ModeSummary], label: str, percentiles: Sequence[int] = PERCENTILES
) -> tuple[str, list[str]]:
    """Return a latency's percentiles in each mode; one figure where all of them are the same."""
    cells = [
        _percentiles(mode_summary[LATENCIES[label]], percentiles) for mode_summary in modes
    ]
    if not any(BETWEEN_PERCENTILES in cell for cell in cells):
        return label, cells
    percentile_names = "/".join(f"p{percentile}" for percentile in percentiles)
    return f"{label} {percentile_names}", cells


def _percentiles(latency_ms: dict[str, float] | None, percentiles: Sequence[int]) -> str:
    if latency_ms is None:
        return NOTHING
    shown = [milliseconds(latency_ms[f"p{percentile}"] * 1e6) for percentile in percentiles]
    all_equal = len(set(shown)) == 1
    return shown[0] if all_equal else BETWEEN_PERCENTILES.join(shown)


def _predicted_row(modes: list[str], predicted: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the total time predicted from the synchronous run, beside what was measured."""
    total_s, high_s = predicted["total_s"], predicted["high_s"]
    total_text = f"{total_s:,.2f} s"
    if (
        high_s is not None
    ):  # in per cent: seconds of a short run would be rounded to nothing
        total_text += f" ± {100 * (high_s / total_s - 1):.1f} %"
    return "  predicted from sync", [
        total_text if mode_name == "async" else NOTHING for mode_name in modes
    ]


def _idle_per_step(mode: ModeSummary, ns: int) -> str:
    """Return a part of a mode's idle time, for each step and in per cent of it."""
    if not ns:
        return NOTHING
    return f"{ns / mode['steps'] / 1e6:.3f} ms ({share(ns, mode['idle_ns'])})"


def _largest_host_parts(modes: list[ModeSummary]) -> list[str]:
    """Return what the host was in, those with most idle time per step in any mode first."""
    largest: dict[str, float] = {}
    for mode_summary in modes:
        for name, duration_ns in mode_summary["host_ns"].items():
            largest[name] = max(largest.get(name, 0.0), duration_ns / mode_summary["steps"])
    return sorted(largest, key=lambda name: (-largest[name], name))[:MAX_HOST_ROWS]


def profiled_table(summary: dict[str, Any]) -> Table | None:
    """Return the profiled windows of a run side by side; None where no profiler was on."""
    table_rows = profiled_rows(summary)
    return (
        side_by_side("Profiled window", mode_titles(summary), table_rows)
        if table_rows
        else None
    )


def profiled_rows(summary: dict[str, Any]) -> Rows:
    """Return what a profiler saw of a window of each mode, beside the step clock.

    Empty where no profiler was on.
    """
    windows = [mode_summary.get("profiled") for mode_summary in summary["modes"].values()]
    if not any(windows):
        return []

    def row(label: str, cell: Callable[[ProfiledWindow], str]) -> tuple[str, list[str]]:
        return label, [NOTHING if window is None else cell(window) for window in windows]

    def step_row(label: str, when: str) -> tuple[str, list[str]]:
        return row(label, lambda window: _number(window["step_ms"][when], "{:.3f} ms"))

    def phase_row(phase: str) -> tuple[str, list[str]]:
        return row(
            f"  {phase}, clock / profiler", lambda window: _phase_cell(window, phase)
        )

    first_clock = CLOCKS[0]
    phases = dict.fromkeys(
        phase
        for window in windows
        if window
        for phase in window["phase_ms_per_step"][first_clock]
    )
    return [
        row(
            "steps recorded",
            lambda window: f"{window['steps'][0]} to {window['steps'][1] - 1}",
        ),
        row(
            "steps found in its trace",
            lambda window: _number(window["steps_found"], "{:,}"),
        ),
        step_row("time per step before", "before"),
        step_row("time per step under the profiler", "inside"),
        step_row("time per step after", "after"),
        row(
            "what profiling costs per step",
            lambda window: _number(window["observer_pct"], "{:+.1f} %"),
        ),
        row("idle, clock / profiler", _idle_cell),
        *map(phase_row, phases),
    ]


def _idle_cell(window: ProfiledWindow) -> str:
    return " / ".join(
        _number(window["idle_pct"][clock_name], "{:.3f} %") for clock_name in CLOCKS
    )


def _phase_cell(window: ProfiledWindow, phase: str) -> str:
    by_clock = window["phase_ms_per_step"]
    return " / ".join(
        _number(by_clock[clock_name].get(phase), "{:.3f} ms") for clock_name in CLOCKS
    )
