"""Kineto files in several layouts, sound, for tests to damage."""

from __future__ import annotations

import json

from tests.make.kineto_files import call, document, operation

COUNT = 40


EVENTS = [
    e
    for i in range(COUNT)
    for e in (
        call(i * 1000, i * 1000 + 100, i + 1),
        operation(i * 1000 + 200, i * 1000 + 700, correlation=i + 1, name=f"k{i}"),
    )
]


WHOLE = json.dumps(document(EVENTS, note="at the end")).encode()


LAYOUTS = {
    "one line": WHOLE,
    "pretty": json.dumps(document(EVENTS), indent=1).encode(),
    "list": json.dumps(EVENTS).encode(),
}


def names(trace):
    return [trace.names[n] for n in trace.operations.name]


def nth(text, what, n):
    """Where the n-th occurrence of something is."""
    at = -1
    for _ in range(n):
        at = text.index(what, at + 1)
    return at
