"""What a check found: whether all is well, what there is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class State(str, Enum):
    """Whether what a check looked at is there and in order."""

    OK = "ok"
    MISSING = "missing"  # a machine may do without
    PROBLEM = "problem"  # to be put right
    UNKNOWN = "unknown"

    __str__ = str.__str__


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str
    state: State
    says: str
    advice: str = ""  # what to do; empty where there is nothing


class Answer(NamedTuple):
    """A finding without the name of its check."""

    state: State
    says: str
    advice: str = ""


def ok(says: str, advice: str = "") -> Answer:
    """Return that all is well."""
    return Answer(State.OK, says, advice)


def missing(says: str, advice: str = "") -> Answer:
    """Return that something is not there, which a machine may do without."""
    return Answer(State.MISSING, says, advice)


def problem(says: str, advice: str) -> Answer:
    """Return that something is to be put right."""
    return Answer(State.PROBLEM, says, advice)


def unknown(says: str, advice: str = "") -> Answer:
    """Return that it could not be told."""
    return Answer(State.UNKNOWN, says, advice)
