"""Answers stay small whatever a trace holds: texts are shortened, lists have a length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from idlescope.agents.answers import CannotTell
from idlescope.analysis.explain.words import explained
from idlescope.report.text import visible

LONGEST_NAME = 120  # characters
LONGEST_TEXT = 1_200
MOST_PARTS = 10  # of the host's work, of a comparison
MOST_WARNINGS = 8
MOST_DEVICES = 16
MOST_FRAMES = 12  # of a stack: the outermost and the innermost half
NS_PER_MS = 1e6


class Largest(NamedTuple):
    """The largest of some times in ms, by name, and the sum of the others."""

    shown: dict[str, float]
    left_out: float


def name_text(name: str) -> str:
    """Return a name of the trace, shortened in the middle; nothing in it acts on a terminal."""
    plain = visible(name)
    if len(plain) <= LONGEST_NAME:
        return plain
    half = LONGEST_NAME // 2
    return f"{plain[:half]}…{plain[-half:]}"


def sentence(text: str) -> str:
    """Return a text, shortened at its end."""
    plain = visible(text)
    return plain if len(plain) <= LONGEST_TEXT else f"{plain[:LONGEST_TEXT]}…"


def ms(ns: float) -> float:
    """Return nanoseconds as milliseconds, to the nanosecond."""
    return round(ns / NS_PER_MS, 6)


def largest_ms(by_name: Mapping[str, int], most: int = MOST_PARTS) -> Largest:
    """Return the largest of some nanoseconds by name."""
    ordered = sorted(by_name.items(), key=lambda item: -item[1])
    shown: dict[str, float] = {}
    for name, ns in ordered[:most]:
        label = name_text(name)
        shown[label] = round(shown.get(label, 0.0) + ms(ns), 6)
    return Largest(shown, ms(sum(ns for _, ns in ordered[most:])))


def stack_texts(stack: Sequence[str]) -> list[str]:
    """Return a stack without its middle where it is deep."""
    names = [name_text(name) for name in stack]
    if len(names) <= MOST_FRAMES:
        return names
    half = MOST_FRAMES // 2
    left_out = len(names) - 2 * half
    return [*names[:half], f"… {left_out} more …", *names[-half:]]


def refusal(why: str) -> CannotTell:
    """Return a refusal, with what to record instead: the sentence often says more of that."""
    return CannotTell(sentence(why), explained("cannot tell").do)
