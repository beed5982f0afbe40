"""The table of a trace that no device was seen in: how long the host spent in each phase."""

from __future__ import annotations

from rich.table import Table

from idlescope.analysis.result import Analysis
from idlescope.analysis.steps.host_phases import HostPhases
from idlescope.report.tables.terminal import Rows, side_by_side
from idlescope.report.text import NOTHING, milliseconds


def phase_table(analysis: Analysis) -> Table:
    """Return the phases of the host as a table."""
    return side_by_side("Phases of the host", phase_columns(analysis), phase_rows(analysis))


def phase_columns(analysis: Analysis) -> list[str]:
    """Return what the columns of `phase_rows` are called: the processes."""
    return [host.process for host in analysis.host_phases]


def phase_rows(analysis: Analysis) -> Rows:
    """Return steps and phases: a label, and one cell for each process."""
    host_processes = analysis.host_phases
    table_rows = [
        (
            "steps",
            [f"{host.starts.size:,} (by {host.found})" for host in host_processes],
        ),
        (
            "from step to step, median",
            [_step_cell(host) for host in host_processes],
        ),
    ]
    phases = dict.fromkeys(
        phase_name for host in host_processes for phase_name in host.total_ns
    )
    return table_rows + [
        (phase_name, [_phase_cell(host, phase_name) for host in host_processes])
        for phase_name in phases
    ]


def _step_cell(host: HostPhases) -> str:
    return NOTHING if host.step_ns is None else milliseconds(host.step_ns)


def _phase_cell(host: HostPhases, phase: str) -> str:
    if phase not in host.spans:
        return NOTHING
    return f"{milliseconds(host.total_ns[phase])} in {host.spans[phase]:,}"
