"""Recognise which engine wrote the spans of a trace, and which phase of a step each of them is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from idlescope.trace.model import RangeKind, Ranges
from idlescope.trace.names.engines import ENGINES, STEP_MARKERS, Engine, Rules
from idlescope.trace.table import Bool, Int32


class SpanNames(Struct, frozen=True):
    """What the span names of one trace mean."""

    engine: str  # "" where no known engine's names are in it
    phase: Int32  # for each name of the trace, index into `labels`; -1: no phase
    labels: tuple[str, ...]  # the engine's phases
    step_markers: tuple[str, ...] = STEP_MARKERS  # see Engine
    step_begins_late: bool = False
    by_frames: bool = False  # no span told the engine: its Python frames stand for spans

    def named(self, phase: str) -> Bool:
        """Return for each name of the trace whether it is of a phase."""
        if phase not in self.labels:
            return np.zeros(len(self.phase), np.bool_)
        return np.asarray(self.phase == self.labels.index(phase), np.bool_)

    def spans(self, ranges: Ranges) -> Bool:
        """Return which ranges may be of a phase: annotations, else frames that name one."""
        annotations = ranges.kind == RangeKind.ANNOTATION
        if not self.by_frames:
            return np.asarray(annotations, np.bool_)
        frames = ranges.kind == RangeKind.FRAME
        return np.asarray(annotations | (frames & (self.phase[ranges.name] >= 0)), np.bool_)


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
    names: Sequence[str],
    used: Iterable[int],
    more: Mapping[str, Rules] | None = None,
    frames: Iterable[int] = (),
) -> SpanNames:
    """Return what names mean to the engine most of whose rules match those that are used.

    `used` are the indices of names that annotations have, `frames` of those that Python frames
    have: they tell the engine where no annotation does, and name phases of the engine in any case.
    `more` are engines by name, which come before the built-in ones.
    """
    used_spans = sorted(set(used))
    candidates = _candidates(more or {})
    matches = [_match(engine, engine.rules, names, used_spans) for engine in candidates]
    telling = [match for match in matches if match.is_telling(names)]
    if telling:
        best_match = max(telling, key=lambda match: match.rules)
        of_frames = _match(best_match.engine, best_match.engine.frames, names, frames)
        return _meaning(best_match, of_frames, len(names))
    by_frames = [_match(engine, engine.frames, names, frames) for engine in candidates]
    best_match = max(by_frames, key=lambda match: match.rules)
    if not best_match.rules:
        return SpanNames("", np.full(len(names), -1, np.int32), ())
    no_spans = best_match._replace(rule_of={})
    return replace(_meaning(no_spans, best_match, len(names)), by_frames=True)


def _meaning(spans: _Match, frames: _Match, name_count: int) -> SpanNames:
    """Return what the names mean that an engine's rules for spans and for frames match."""
    engine = spans.engine
    labels = tuple(
        dict.fromkeys(rule_label for _, rule_label in (*engine.rules, *engine.frames))
    )
    phase_of_name = np.full(name_count, -1, np.int32)
    for engine_rules, engine_match in ((engine.frames, frames), (engine.rules, spans)):
        for name_code, rule_index in engine_match.rule_of.items():
            _, rule_label = engine_rules[rule_index]
            phase_of_name[name_code] = labels.index(rule_label)
    return SpanNames(
        engine.name, phase_of_name, labels, engine.step_markers, engine.step_begins_late
    )


def _candidates(more: Mapping[str, Rules]) -> list[Engine]:
    """Return the user's engines, then the built-in ones whose rules the user did not replace."""
    known_engines = {engine.name: engine for engine in ENGINES}
    # rules that the user gives are meant: one match is enough
    first_candidates = [
        replace(
            known_engines.get(engine_name, Engine(engine_name, ())),
            rules=engine_rules,
            common=None,
            of_user=True,
        )
        for engine_name, engine_rules in more.items()
    ]
    return [*first_candidates, *(engine for engine in ENGINES if engine.name not in more)]


def _match(
    engine: Engine, rules: Rules, names: Sequence[str], used: Iterable[int]
) -> _Match:
    """Return which of the used names some rules of an engine match."""
    rule_of: dict[int, int] = {}
    if not rules:
        return _Match(engine, rule_of)
    if engine.of_user:
        from idlescope.trace.names.user_rules import first_matches

        names_of_codes = {int(name_code): names[name_code] for name_code in used}
        return _Match(engine, first_matches(engine.name, rules, names_of_codes))
    # most names match no rule: each is compiled only for those that do
    any_rule = re.compile("|".join(f"(?:{rule})" for rule, _ in rules))
    for name_code in used:
        if any_rule.search(names[name_code]):
            matching = (
                rule_index
                for rule_index, (rule, _) in enumerate(rules)
                if re.search(rule, names[name_code])
            )
            rule_of[name_code] = next(matching)
    return _Match(engine, rule_of)
