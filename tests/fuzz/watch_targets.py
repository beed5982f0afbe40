"""Documents of watches, and histories of checks: figures, or one sentence."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from rich.console import Console

from idlescope.analysis.comparison.limits import Limits
from idlescope.analysis.history import creep, file, trend
from idlescope.analysis.history.line import Line, Point
from idlescope.report.text import to_text
from idlescope.trace.unseen import UNSEEN
from idlescope.watching.view import limits, members, screen
from tests.fuzz import mutate
from tests.fuzz.cases import ONLY_FILE, Files, Target
from tests.make import watched_states

STATES = ("first", "second")  # what a watch says, and what it says later
URL = "http://127.0.0.1:9401"


@cache
def _state() -> Any:
    return json.loads(watched_states.page(watched_states.example()))


def watched(random: Random) -> Files:
    """Return two states of one watch, one of them changed, by values or by bytes."""
    pages = {name: mutate.encoded(_state()) for name in STATES}
    changed = random.choice(STATES)
    if random.random() < 0.2:
        pages[changed] = mutate.of_bytes(pages[changed], random)
    else:
        pages[changed] = mutate.encoded(mutate.of_json(_state(), random))
    return pages


def read_watched(path: Path) -> None:
    """Show what a watch said, hold it to limits, and say it as JSON."""
    pages = iter([(path / name).read_text("utf-8", "replace") for name in STATES])
    first = members._decoded(next(pages), URL)
    if first is None:
        return
    answers = iter([first, members._decoded(next(pages), URL)])
    member = members.WatchedMember(lambda: next(answers), URL, first.process)
    member.read()
    member.read()
    for span in members.Span:
        documents = [member.document(span)]
        shown = io.StringIO()
        Console(file=shown, width=120).print(screen.screen(documents, span, []))
        assert not set(UNSEEN.findall(shown.getvalue())) - {"\n"}
        limits.examine(documents, Limits.of(max_idle="5%"))
        to_text({"processes": msgspec.to_builtins(documents)})


@cache
def _lines() -> list[Any]:
    lines = []
    for number in range(12):
        point = Point(True, "synchronous", 100.0, 10, 20.0 + number, 2.0, 10.0, 2.0, 8.0)
        line = Line(
            1,
            f"{number:040x}",
            f"2026-11-{number + 1:02}T10:00:00+00:00",
            "0.1.0",
            {"GPU 0": point},
        )
        lines.append(msgspec.to_builtins(line))
    return lines


def history(random: Random) -> Files:
    """Return a history: values of some lines changed, or bytes."""
    lines = list(_lines())
    for _ in range(random.randint(1, 3)):
        changed = random.randrange(len(lines))
        lines[changed] = mutate.of_json(lines[changed], random)
    content = b"\n".join(map(mutate.encoded, lines)) + b"\n"
    return {
        ONLY_FILE: mutate.of_bytes(content, random) if random.random() < 0.3 else content
    }


def read_history(path: Path) -> None:
    """Read a history, tell its trends, and add a line."""
    found = file.read(path)
    told = trend.trends(found.lines)
    creep.creep_checks(told, 10.0)
    for one in told:
        str(one)
    file.append(path, msgspec.convert(_lines()[0], Line))


TARGETS = (
    Target("watched", "", watched, read_watched),
    Target("history", ".jsonl", history, read_history),
)
