"""Recognise which engine wrote the spans of a trace, and which phase of a step each of them is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from idlescope.trace.names.engines import ENGINES, STEP_MARKERS, Engine, Rules
from idlescope.trace.table import Bool, Int32


@dataclass(frozen=True)
class SpanNames:
    """What the span names of one trace mean."""

    engine: str  # "" where no known engine's names are in it
    phase: Int32  # for each name of the trace, index into `labels`; -1: no phase
    labels: tuple[str, ...]  # the engine's phases
    step_markers: tuple[str, ...] = STEP_MARKERS  # see Engine
    step_begins_late: bool = False

    def named(self, phase: str) -> Bool:
        """Return for each name of the trace whether it is of a phase."""
        if phase not in self.labels:
            return np.zeros(len(self.phase), np.bool_)
        return np.asarray(self.phase == self.labels.index(phase), np.bool_)


class _Match(NamedTuple):
    """Which names of a trace an engine's rules match."""

    engine: Engine
    rule_of: dict[int, int]  # index of a name -> the first rule that matches it

    @property
    def rules(self) -> int:
        """Return how many different rules match."""
        return len(set(self.rule_of.values()))

    def is_telling(self, names: Sequence[str]) -> bool:
        """Return whether more than one common word says that it is this engine's trace."""
        common = self.engine.common
        if self.rules > 1 or common is None:
            return self.rules > 0
        return any(not re.search(common, names[name]) for name in self.rule_of)


def recognise(
    names: Sequence[str], used: Iterable[int], more: Mapping[str, Rules] | None = None
) -> SpanNames:
    """Return what names mean to the engine most of whose rules match those that are used.

    `used` are the indices of names that annotations have; `more` are engines by name, which come
    before the built-in ones.
    """
    spans = sorted(set(used))
    matches = [_match(engine, names, spans) for engine in _candidates(more or {})]
    telling = [match for match in matches if match.is_telling(names)]
    if not telling:
        return SpanNames("", np.full(len(names), -1, np.int32), ())
    return _meaning(max(telling, key=lambda match: match.rules), len(names))


def _meaning(match: _Match, name_count: int) -> SpanNames:
    engine = match.engine
    labels = tuple(dict.fromkeys(label for _, label in engine.rules))
    phase = np.full(name_count, -1, np.int32)
    for name, rule in match.rule_of.items():
        _, label = engine.rules[rule]
        phase[name] = labels.index(label)
    return SpanNames(engine.name, phase, labels, engine.step_markers, engine.step_begins_late)


def _candidates(more: Mapping[str, Rules]) -> list[Engine]:
    """Return the user's engines, then the built-in ones whose rules the user did not replace."""
    known = {engine.name: engine for engine in ENGINES}
    # rules that the user gives are meant: one match is enough
    first = [
        replace(known.get(name, Engine(name, ())), rules=rules, common=None)
        for name, rules in more.items()
    ]
    return [*first, *(engine for engine in ENGINES if engine.name not in more)]


def _match(engine: Engine, names: Sequence[str], spans: Iterable[int]) -> _Match:
    any_rule = re.compile("|".join(f"(?:{rule})" for rule, _ in engine.rules))
    rules = [re.compile(rule) for rule, _ in engine.rules]
    rule_of = {}
    for name in spans:
        if any_rule.search(names[name]):
            matching = (number for number, rule in enumerate(rules) if rule.search(names[name]))
            rule_of[name] = next(matching)
    return _Match(engine, rule_of)
