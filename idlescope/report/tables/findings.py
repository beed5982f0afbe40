"""What `idlescope doctor` found, as a table and as JSON; names that come from the machine are made printable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from idlescope.doctor.findings import Finding, State
from idlescope.report.text import to_text as json_text
from idlescope.report.text import visible

SCHEMA = 1
COLOURS = {
    State.OK: "green",
    State.MISSING: "dim",
    State.PROBLEM: "bold red",
    State.UNKNOWN: "yellow",
}


def table(findings: Sequence[Finding]) -> Table:
    """Return a row a finding."""
    made = Table(
        "check",
        "state",
        "what",
        "what to do",
        title="What this machine can measure",
        title_justify="left",
    )
    for finding in findings:
        cells = [finding.name, finding.state, finding.says, finding.advice]
        styles = ["", COLOURS[finding.state], "", ""]
        made.add_row(
            *(Text(visible(cell), style) for cell, style in zip(cells, styles, strict=True))
        )
    return made


def to_text(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON document."""
    rows = [{key: visible(value) for key, value in asdict(finding).items()} for finding in findings]
    return json_text({"schema": SCHEMA, "findings": rows})
