"""What `idlescope doctor` found, as a table and as JSON; names from the machine are printable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from idlescope.doctor.findings import Finding, State
from idlescope.report.text import to_text as json_text
from idlescope.report.text import visible

SCHEMA = 1
COLUMNS = ("check", "state", "what", "what to do")
STATE_COLOURS = {
    State.OK: "green",
    State.MISSING: "dim",
    State.PROBLEM: "bold red",
    State.UNKNOWN: "yellow",
}


def table(findings: Sequence[Finding]) -> Table:
    """Return one row for each finding."""
    made = Table(*COLUMNS, title="What this machine can measure", title_justify="left")
    for finding in findings:
        cells = [finding.name, finding.state, finding.says, finding.advice]
        name, state, says, advice = (Text(visible(cell)) for cell in cells)
        state.stylize(STATE_COLOURS[finding.state])
        made.add_row(name, state, says, advice)
    return made


def to_text(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON document."""
    rows = [
        {key: visible(value) for key, value in asdict(finding).items()}
        for finding in findings
    ]
    return json_text({"schema": SCHEMA, "findings": rows})
