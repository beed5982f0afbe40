"""Write the report of a trace into one folder: the page, figures and the analysis as JSON."""

from __future__ import annotations

import shlex
from pathlib import Path

from idlescope.analysis.no_device import no_device
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.experiment.environment import environment
from idlescope.report.figures.report_figures import draw_all
from idlescope.report.figures.style import save
from idlescope.report.page import page
from idlescope.report.page.content import Page
from idlescope.report.tables.devices import device_rows, window_label
from idlescope.report.tables.host_phases import phase_columns, phase_rows
from idlescope.report.text import milliseconds, to_text
from idlescope.report.work_line import device_label, of_analysis
from idlescope.trace.model import Trace
from idlescope.trace.nsys.recognise import REPORT_SUFFIXES

REPORT = "report.html"
ANALYSIS = "analysis.json"


def write_analysis(
    trace: Trace, analysis: Analysis, folder: Path, command: str
) -> list[Path]:
    """Write a trace's report, figures and analysis; return the paths, the report first."""
    work_lines = of_analysis(analysis)
    source = Path(analysis.source["path"])
    figures = (
        save(draw_all(work_lines, source.name), folder / "figures") if work_lines else []
    )
    (folder / ANALYSIS).write_text(to_text(analysis.to_json()), encoding="utf-8")
    unseen = no_device(trace)
    is_modelled = trace.meta.measured is False
    content = Page(
        title=source.name,
        verdict=_worst(analysis).verdict.text
        if work_lines
        else f"No device was seen: {unseen}",
        measured="modelled, not measured" if is_modelled else "as recorded in the trace",
        headline=_headline(analysis),
        columns=[line.label for line in work_lines] or phase_columns(analysis),
        rows=device_rows(analysis) if work_lines else phase_rows(analysis),
        figures={path.stem: path for path in figures if path.suffix == ".svg"},
        lines=work_lines,
        # that no device was seen is the verdict already
        warnings=[
            warning for warning in analysis.warnings if work_lines or warning != unseen
        ],
        command=command,
        environment=environment(),
        predictions=_predictions(analysis),
        files=[ANALYSIS],
        open_with=_open_with(source),
    )
    page.write(content, folder / REPORT)
    figures_folder = [folder / "figures"] if figures else []
    return [folder / REPORT, *figures_folder, folder / ANALYSIS]


def _worst(analysis: Analysis) -> DeviceResult:
    """Return the device that idles most."""
    return max(analysis.results, key=lambda result: result.idle_pct)


def _headline(analysis: Analysis) -> list[tuple[str, str]]:
    if not analysis.results:
        return []
    idlest_device = _worst(analysis)
    return [
        (f"{idlest_device.idle_pct:.2f} %", f"idle, device {device_label(idlest_device)}"),
        (milliseconds(idlest_device.occupancy.idle_ns), "idle time"),
        (milliseconds(idlest_device.occupancy.window_ns), window_label([idlest_device])),
    ]


def _predictions(analysis: Analysis) -> list[str]:
    return [
        f"{device_label(result)}: {result.prediction.text()}"
        for result in analysis.results
        if result.prediction is not None
    ]


def _open_with(source: Path) -> list[tuple[str, str]]:
    """Return commands that show a trace: purpose, command."""
    view_command = shlex.join(["idlescope", "view", str(source), "--perfetto"])
    commands = [("in Perfetto, at its longest gap", view_command)]
    if source.suffix in REPORT_SUFFIXES:
        commands.append(("in Nsight Systems", shlex.join(["nsys-ui", str(source)])))
    return commands
