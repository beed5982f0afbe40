"""Write the report of a trace into one folder: the page, figures and the analysis as JSON."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import msgspec

from idlescope.analysis.document import Document
from idlescope.analysis.no_device import no_device
from idlescope.analysis.ranks.in_detail import MOST_DETAILED, rows_in_detail
from idlescope.analysis.ranks.verdict import judge
from idlescope.analysis.result import Analysis
from idlescope.experiment.environment import environment
from idlescope.report import analysis_json
from idlescope.report.figures.report_figures import draw_all, host_cost_of, still_picture
from idlescope.report.figures.style import save
from idlescope.report.page import page
from idlescope.report.page.content import Head, Page
from idlescope.report.page.sections.order import OF_HOST, OF_TRACE
from idlescope.report.page.tiles import device_tiles, sentences
from idlescope.report.tables.devices import device_rows
from idlescope.report.tables.host_phases import phase_columns, phase_rows
from idlescope.report.text import to_text
from idlescope.report.work_line import device_label, of_analysis
from idlescope.trace.model import Trace
from idlescope.trace.nsys.recognise import REPORT_SUFFIXES

REPORT = "report.html"
ANALYSIS = "analysis.json"


def write_analysis(
    trace: Trace,
    analysis: Analysis,
    folder: Path,
    command: str,
    document: Document | None = None,
) -> list[Path]:
    """Write a trace's report, figures and analysis; return the paths, the report first.

    `document` is the analysis as JSON, where the results are those of a part of its devices.
    """
    detailed = _detailed(analysis)
    work_lines = of_analysis(detailed)
    source = Path(analysis.source["path"])
    cost = host_cost_of(work_lines)
    figures = []
    if work_lines:
        figures = save(draw_all(work_lines, source.name, cost), folder / "figures")
    pieces = analysis_json.pieces(analysis)
    if document is not None:
        pieces = iter([to_text(msgspec.to_builtins(document))])
    with (folder / ANALYSIS).open("w", encoding="utf-8") as analysis_file:
        analysis_file.writelines(pieces)
    unseen = no_device(trace)
    content = Page(
        head=_head(trace, analysis, source, unseen),
        columns=[line.label for line in work_lines] or phase_columns(analysis),
        rows=device_rows(detailed) if work_lines else phase_rows(analysis),
        lines=work_lines,
        # that no device was seen is the verdict already
        warnings=[
            warning for warning in analysis.warnings if work_lines or warning != unseen
        ],
        command=command,
        environment=environment(),
        still=still_picture(figures),
        cost=cost,
        group=analysis.group,
        predictions=_predictions(detailed),
        files=[ANALYSIS],
        open_with=_open_with(source),
    )
    page.write(content, folder / REPORT, OF_TRACE if work_lines else OF_HOST)
    figures_folder = [folder / "figures"] if figures else []
    return [folder / REPORT, *figures_folder, folder / ANALYSIS]


def _head(trace: Trace, analysis: Analysis, source: Path, unseen: str) -> Head:
    """Return the verdict and the tiles of the device that idles most."""
    is_modelled = trace.meta.measured is False
    measured = "modelled, not measured" if is_modelled else "as recorded in the trace"
    if not analysis.results:
        return Head(source.name, f"No device was seen: {unseen}", measured)
    group = analysis.group
    if group is not None and group.communicates:
        verdict, *further = sentences(judge(group).text)
        tiles = device_tiles(analysis.results, group)
        return Head(source.name, verdict, measured, further, tiles)
    idlest_device = max(analysis.results, key=lambda result: result.idle_pct)
    verdict, *further = sentences(idlest_device.verdict.text)
    if idlest_device.observer is not None:
        further.append(idlest_device.observer.text())
    return Head(
        source.name, verdict, measured, further, device_tiles(analysis.results, None)
    )


def _detailed(analysis: Analysis) -> Analysis:
    """Return the analysis of those devices that the page shows in detail."""
    group = analysis.group
    if group is None or len(analysis.results) <= MOST_DETAILED:
        return analysis
    chosen = rows_in_detail(group)
    return replace(analysis, results=tuple(analysis.results[row] for row in chosen))


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
