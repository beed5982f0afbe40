"""What `idlescope doctor` found, as a list and as JSON; names from the machine are printable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from idlescope.doctor.findings import Finding, State
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text as json_text
from idlescope.report.text import visible

SCHEMA = 1
MARKS = {State.OK: "ok", State.MISSING: "–", State.PROBLEM: "!!", State.UNKNOWN: "?"}
STATE_COLOURS = {
    State.OK: "green",
    State.MISSING: "dim",
    State.PROBLEM: "bold red",
    State.UNKNOWN: "yellow",
}


def listed(findings: Sequence[Finding]) -> Table:
    """Return a line for each finding, with what to do about it below."""
    lines = Table.grid(padding=(0, 2))
    for finding in findings:
        mark = plain(MARKS[finding.state], STATE_COLOURS[finding.state])
        said = plain(finding.says)
        if finding.advice:
            said.append_text(Text("\n")).append_text(plain(f"→ {finding.advice}", "bold"))
        lines.add_row(mark, plain(finding.name), said)
    return lines


def conclusion(findings: Sequence[Finding]) -> str:
    """Return in a sentence what the machine can measure, and what is to be put right."""
    problems = [finding.name for finding in findings if finding.state == State.PROBLEM]
    if problems:
        return f"To be put right: {', '.join(problems)}; then run doctor again."
    states = {finding.name: finding.state for finding in findings}
    if states.get("cuda") == State.OK:
        return "All is well: this machine can measure its GPU."
    return (
        "There is no GPU to measure here: this machine can run modelled GPUs and its CPU, and "
        "analyse traces of other machines."
    )


def to_text(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON document."""
    rows = [
        {key: visible(value) for key, value in asdict(finding).items()}
        for finding in findings
    ]
    return json_text({"schema": SCHEMA, "findings": rows})
