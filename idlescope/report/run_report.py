"""Write everything that a run leaves behind into one folder: report, traces, figures, summary."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from idlescope.experiment.config import OWN_ENGINE, RunConfig
from idlescope.experiment.device_choice.choose import choose
from idlescope.experiment.result import Run
from idlescope.export.perfetto import writer
from idlescope.hardware.latencies import THIS_HOST
from idlescope.palette import MODE_TITLES
from idlescope.report.figures.report_figures import draw_all, host_cost_of, still_picture
from idlescope.report.figures.style import save
from idlescope.report.page import page
from idlescope.report.page.content import Head, Page, TableRows
from idlescope.report.page.sections.order import OF_RUN
from idlescope.report.page.tiles import run_tiles
from idlescope.report.tables.runs import figure_rows, profiled_rows
from idlescope.report.text import to_text
from idlescope.report.work_line import WorkLine
from idlescope.trace.recording import files

REPORT = "report.html"
SUMMARY = "summary.json"


def run_name(config: RunConfig) -> str:
    """Return what a run's folder is called by default."""
    device = config.device.replace(":", "-")
    if config.device == "auto":
        device = choose(config.device).key
    demand = f"t{config.tokens}".replace(":", "-").replace(",", "-")
    if config.workload is not None:
        demand = Path(config.workload).stem
    engine = "" if config.engine == OWN_ENGINE else f"{config.engine}-"
    return f"{engine}{config.architecture.key}-{device}-b{config.batch_size}-{demand}"


def command(config: RunConfig) -> str:
    """Return the command line that repeats a run."""
    return shlex.join(["idlescope", "run", *config.words()])


def write_run(run: Run, folder: Path) -> list[Path]:
    """Write a run's report, traces, figures, recordings and summary.

    Returns the paths, the report first.
    """
    summary = run.summary()
    work_lines = [
        WorkLine(mode_run, measured.trace, measured.result, measured.analysis.phases)
        for mode_run, measured in run.modes.items()
    ]
    traces = _write_traces(run, folder)
    cost = host_cost_of(work_lines)
    figures = save(draw_all(work_lines, _subtitle(run), cost), folder / "figures")
    (folder / SUMMARY).write_text(to_text(summary), encoding="utf-8")
    written = [*traces, folder / "figures", folder / SUMMARY]
    profiles = [
        mode_run.profiled.path
        for mode_run in run.modes.values()
        if mode_run.profiled is not None
    ]
    listed = [listed_path for listed_path in (*written, *profiles) if listed_path.is_file()]
    content = Page(
        head=_head(run),
        columns=[line.title for line in work_lines],
        rows=_rows(summary),
        lines=work_lines,
        warnings=run.notes,
        command=command(run.config),
        environment=summary["environment"],
        still=still_picture(figures),
        cost=cost,
        published_host=run.published,
        predictions=_prediction(summary),
        files=[str(listed_path.relative_to(folder)) for listed_path in listed],
        open_with=_open_with(list(run.modes), profiles),
        latencies=True,
    )
    page.write(content, folder / REPORT, OF_RUN)
    return [folder / REPORT, *written, *profiles]


def _write_traces(run: Run, folder: Path) -> list[Path]:
    """Write each mode's trace for Perfetto, and its recording; return the paths."""
    written = []
    for mode_name, measured in run.modes.items():
        for_perfetto = folder / f"{mode_name}.trace.json.gz"
        recording = folder / f"{mode_name}.recording"
        writer.write(measured.trace, for_perfetto, measured.analysis.results)
        files.write(measured.trace, recording)
        written += [for_perfetto, recording]
    return written


def _subtitle(run: Run) -> str:
    config = run.config
    return f"{config.architecture.name}, batch {config.batch_size}, {run.device.name}"


def _title(config: RunConfig) -> str:
    model_name = config.architecture.name
    if config.engine != OWN_ENGINE:
        model_name = f"{model_name} in {config.engine}"
    lengths = f"of {config.prompt_tokens} + {config.tokens} tokens"
    if config.workload is not None:
        lengths = f"of {Path(config.workload).name}"
    arriving = "" if config.arrival == "closed" else f", arriving {config.arrival}"
    requests = f"{config.request_count} requests {lengths}{arriving}"
    return f"{model_name}, {requests}, batch {config.batch_size}"


def _head(run: Run) -> Head:
    verdict, *further = run.statements.said()
    return Head(
        _title(run.config), verdict, _how_measured(run), further, tiles=run_tiles(run)
    )


def _rows(summary: dict[str, Any]) -> TableRows:
    profiled = [
        (f"profiled: {row_label.strip()}", cells)
        for row_label, cells in profiled_rows(summary)
    ]
    return figure_rows(summary) + profiled


def _how_measured(run: Run) -> str:
    """Return which times of a run are measured, fixed or modelled."""
    config, measured = run.config, run.device.measured
    host_time_text = "host time measured"
    if not measured and config.host_profile != THIS_HOST:
        host_time_text = "host time modelled, not measured"
    if config.host_ms is not None:
        device_verb = "kept busy" if measured else "time fixed at"
        host_time_text = f"host {device_verb} {config.host_ms:g} ms per step"
    device = "GPU times modelled, not measured"
    if measured:
        device = "device time measured"
    elif config.device_ms is not None:
        device = f"compute fixed at {config.device_ms:g} ms per step"
    return f"{run.device.name}: {host_time_text}, {device}"


def _prediction(summary: dict[str, Any]) -> list[str]:
    """Return how the time predicted from the synchronous run compares with the measured one."""
    predicted, measured = summary["predicted"], summary["modes"].get("async")
    if predicted is None:
        return []
    total_seconds, low_seconds, high_seconds = (
        predicted[figure_key] for figure_key in ("total_s", "low_s", "high_s")
    )
    interval = (
        "" if low_seconds is None else f" ({low_seconds:,.2f} to {high_seconds:,.2f} s)"
    )
    sentence = (
        "From the synchronous run alone, asynchronous batching was predicted to take "
        f"{total_seconds:,.2f} s{interval}"
    )
    if measured is None or measured["interrupted"]:
        return [f"{sentence}."]
    total_measured = measured["total_s"]
    error_pct = 100 * (total_seconds / total_measured - 1)
    outcome = f"it took {total_measured:,.2f} s: the prediction is {error_pct:+.2f} % off"
    return [f"{sentence}; {outcome}."]


def _open_with(modes: Sequence[str], profiles: Sequence[Path]) -> list[tuple[str, str]]:
    """Return commands that show a run's traces, to be run in its folder: purpose, command."""
    commands = [
        (
            f"{MODE_TITLES[first_mode]}, in Perfetto, at its longest gap",
            f"idlescope view . --perfetto --mode {first_mode}",
        )
        for first_mode in modes
    ]
    nsys_reports = [
        report_path for report_path in profiles if report_path.suffix == ".nsys-rep"
    ]
    for report_path in nsys_reports:
        commands.append(("in Nsight Systems", shlex.join(["nsys-ui", report_path.name])))
    if modes and not nsys_reports:
        first_mode = modes[0]
        convert = f"idlescope convert {first_mode}.recording {first_mode}.sqlite"
        stats_command = f"nsys stats {first_mode}.sqlite"
        commands.append(
            ("with the tools of Nsight Systems", f"{convert} && {stats_command}")
        )
    return commands
