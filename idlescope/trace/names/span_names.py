"""Recognise which engine wrote the spans of a trace, and which phase of a step each of them is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from idlescope.trace.names.engines import ENGINES, Rules
from idlescope.trace.table import Bool, Int32


@dataclass(frozen=True)
class SpanNames:
    """What the span names of one trace mean."""

    engine: str  # "" where no known engine's names are in it
    phase: Int32  # for each name of the trace, index into `labels`; -1: no phase
    labels: tuple[str, ...]

    def named(self, phase: str) -> Bool:
        """Return for each name of the trace whether it is of a phase."""
        return np.asarray(
            self.phase == (self.labels.index(phase) if phase in self.labels else -2), np.bool_
        )


def recognise(
    names: Sequence[str], used: Iterable[int], more: Mapping[str, Rules] | None = None
) -> SpanNames:
    """Return the phases of the engine whose rules most of the given names match.

    `used` are the indices of names that annotations have; `more` are engines by name whose rules come before the
    built-in ones.
    """
    candidates = [
        *(more or {}).items(),
        *((k, v) for k, v in ENGINES.items() if k not in (more or {})),
    ]
    spans = sorted(set(used))
    best: tuple[int, str, Rules, dict[int, int]] = (0, "", (), {})
    for engine, rules in candidates:
        any_rule = re.compile("|".join(f"(?:{rule})" for rule, _ in rules))
        compiled = [re.compile(rule) for rule, _ in rules]
        # of a name that some rule matches, the first rule that does
        first = {
            i: next(r for r, rule in enumerate(compiled) if rule.search(names[i]))
            for i in spans
            if any_rule.search(names[i])
        }
        if len(set(first.values())) > best[0]:
            best = (len(set(first.values())), engine, rules, first)
    _, engine, rules, first = best
    labels = tuple(dict.fromkeys(phase for _, phase in rules))
    phase = np.full(len(names), -1, np.int32)
    for i, rule in first.items():
        phase[i] = labels.index(rules[rule][1])
    return SpanNames(engine, phase, labels)
