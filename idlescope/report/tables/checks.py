"""Checks of limits for those who read them: a table, JUnit XML, GitHub's annotations, JSON."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import msgspec
from rich.table import Table
from rich.text import Text

from idlescope.analysis.comparison.checks import Check
from idlescope.analysis.comparison.documents import (
    CHECK_SCHEMA,
    ChecksDocument,
    TrendDocument,
)
from idlescope.analysis.comparison.limits import option
from idlescope.errors import ConfigError, OutputExistsError
from idlescope.plain_files import plain_size
from idlescope.report.tables.terminal import empty_table, plain
from idlescope.report.text import NOTHING, visible
from idlescope.trace import drafts

SUITE = "idlescope"
HEAD_BYTES = 512  # of a file, enough to tell JUnit XML of ours


def to_json(
    checks: Sequence[Check], trends: Sequence[TrendDocument] = ()
) -> dict[str, Any]:
    """Return the document of `check --json` (report/README.md)."""
    document = ChecksDocument(
        schema=CHECK_SCHEMA,
        holds=all(check.holds for check in checks),
        checks=[check.document() for check in checks],
        trends=list(trends),
    )
    return dict(msgspec.to_builtins(document))


def outcome_table(checks: Sequence[Check]) -> Table:
    """Return a row for each limit: whether it holds, what was found and what is allowed.

    What was looked at has a column where it is not the same everywhere.
    """
    outcomes = empty_table("")
    several = len({limit_check.subject for limit_check in checks}) > 1
    outcomes.add_column("", no_wrap=True)
    outcomes.add_column("limit")
    outcomes.add_column("found", justify="right", no_wrap=True)
    outcomes.add_column("allowed", justify="right", no_wrap=True)
    if several:
        outcomes.add_column("of")
    for limit_check in checks:
        cells = [
            option(limit_check.limit),
            limit_check.found or NOTHING,
            limit_check.allowed or NOTHING,
        ]
        if several:
            cells.append(limit_check.subject)
        outcomes.add_row(_outcome(limit_check), *map(plain, cells))
    return outcomes


def _outcome(check: Check) -> Text:
    if not check.holds:
        return plain("broken", "bold red")
    return plain("in doubt", "yellow") if check.doubtful else plain("holds", "green")


def verdict(checks: Sequence[Check]) -> str:
    """Return in a sentence whether all limits hold, and of what where that is one thing."""
    if not checks:
        return "No limits were given."
    subjects = {limit_check.subject for limit_check in checks}
    of_what = f" ({subjects.pop()})" if len(subjects) == 1 else ""
    broken = sum(not limit_check.holds for limit_check in checks)
    if not broken:
        return f"{_holding(checks)}{of_what}."
    if len(checks) == 1:
        return f"The limit is broken{of_what}."
    return f"{broken} of {len(checks)} limits broken{of_what}."


def _holding(checks: Sequence[Check]) -> str:
    """Return that all limits hold, and how many of them in doubt."""
    doubtful = sum(limit_check.doubtful for limit_check in checks)
    if len(checks) == 1:
        return "The limit holds, but in doubt" if doubtful else "The limit holds"
    in_doubt = f", {doubtful} of them in doubt" if doubtful else ""
    return f"All {len(checks)} limits hold{in_doubt}"


def write_junit(checks: Sequence[Check], path: Path) -> None:
    """Write JUnit XML, one test case for each check.

    Raises OutputExistsError as `refuse` does, ConfigError where the file cannot be written.
    """
    document = _junit(checks)
    refuse(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        document.write(content, encoding="utf-8", xml_declaration=True)
        drafts.put(path, content.getvalue())
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"{path} cannot be written: {reason}; give another --junit"
        ) from error


def _junit(checks: Sequence[Check]) -> ElementTree[Element]:
    failures = sum(not limit_check.holds for limit_check in checks)
    counts = {
        "name": SUITE,
        "tests": str(len(checks)),
        "failures": str(failures),
        "errors": "0",
    }
    suites = Element("testsuites", counts)
    test_suite = SubElement(suites, "testsuite", counts)
    for limit_check in checks:
        case_name = visible(f"{limit_check.limit} {limit_check.subject}")
        case_text = visible(limit_check.says)
        test_case = SubElement(
            test_suite, "testcase", classname=f"{SUITE}.check", name=case_name
        )
        if not limit_check.holds:
            failure = SubElement(
                test_case, "failure", message=case_text, type=limit_check.limit
            )
            failure.text = case_text
        elif limit_check.doubtful:
            SubElement(test_case, "system-out").text = case_text
    indent(suites)
    return ElementTree(suites)


def refuse(path: Path) -> None:
    """Raise OutputExistsError where a path holds anything but JUnit XML of ours.

    Only that is replaced.
    """
    if not path.exists():
        return
    file_start = b""
    if path.is_file() and plain_size(path):
        with path.open("rb") as old_file:
            file_start = old_file.read(HEAD_BYTES)
    if f'<testsuites name="{SUITE}"'.encode() not in file_start:
        raise OutputExistsError(
            f"{path} is there already, and no earlier --junit of idlescope: give another name"
        )


def github_commands(checks: Sequence[Check]) -> list[str]:
    """Return the workflow commands that make GitHub show what does not hold or is in doubt."""
    command_lines = []
    for limit_check in checks:
        if limit_check.holds and not limit_check.doubtful:
            continue
        command = "warning" if limit_check.holds else "error"
        command_title = _command_property(f"idlescope {option(limit_check.limit)}")
        command_lines.append(
            f"::{command} title={command_title}::{_command_message(limit_check.says)}"
        )
    return command_lines


def _command_message(text: str) -> str:
    """Return text as the message of a workflow command, escaped as GitHub's toolkit does."""
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _command_property(text: str) -> str:
    return _command_message(text).replace(":", "%3A").replace(",", "%2C")
