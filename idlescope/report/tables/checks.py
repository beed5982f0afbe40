"""Checks of limits for those who read them: a terminal, JUnit XML, GitHub's annotations, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from idlescope.analysis.comparison.limits import SCHEMA, Check, option
from idlescope.errors import ConfigError, OutputExistsError
from idlescope.report.text import visible

SUITE = "idlescope"


def to_json(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the document of `check --json` (README.md, "JSON")."""
    return {
        "schema": SCHEMA,
        "holds": all(c.holds for c in checks),
        "checks": [c.to_json() for c in checks],
    }


def write_junit(checks: Sequence[Check], path: Path) -> None:
    """Write JUnit XML, a test case a check. Raises OutputExistsError as `refuse` does, ConfigError where it cannot."""
    broken = str(sum(not c.holds for c in checks))
    suites = Element("testsuites", name=SUITE, tests=str(len(checks)), failures=broken, errors="0")
    suite = SubElement(
        suites, "testsuite", name=SUITE, tests=str(len(checks)), failures=broken, errors="0"
    )
    for check in checks:
        case = SubElement(
            suite,
            "testcase",
            classname=f"{SUITE}.check",
            name=visible(f"{check.limit} {check.subject}"),
        )
        if not check.holds:
            failure = SubElement(case, "failure", message=visible(check.says), type=check.limit)
            failure.text = visible(check.says)
        elif check.doubtful:
            SubElement(case, "system-out").text = visible(check.says)
    indent(suites)
    refuse(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or error}; give another --junit"
        ) from error


def refuse(path: Path) -> None:
    """Raise OutputExistsError where a path holds anything but JUnit XML of ours, which alone is replaced."""
    if not path.exists():
        return
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(512)
    if f'<testsuites name="{SUITE}"'.encode() not in head:
        raise OutputExistsError(
            f"{path} is there already, and no earlier --junit of idlescope: give another name"
        )


def github_commands(checks: Sequence[Check]) -> list[str]:
    """Return the workflow commands that make GitHub show what does not hold, and what is in doubt."""
    lines = []
    for check in checks:
        if not check.holds or check.doubtful:
            command = "warning" if check.holds else "error"
            title = _property(f"idlescope {option(check.limit)}")
            lines.append(f"::{command} title={title}::{_data(check.says)}")
    return lines


def _data(text: str) -> str:
    """Return text as the message of a workflow command: GitHub's toolkit escapes the same characters."""
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
