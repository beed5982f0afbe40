"""What the changes between two sides mean, in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence

from idlescope.analysis.comparison.cautions import other_load, other_recorder
from idlescope.analysis.comparison.change import (
    Change,
    Changes,
    ComparisonKind,
    ComparisonVerdict,
)
from idlescope.analysis.comparison.unit import Unit

# Parts are named until they explain this share of a change; three at most.
MOST = 0.75
PARTS_NAMED = 3


def judge(changes: Changes, material: float) -> ComparisonVerdict:
    """Return what the changes show; one below `material` is none, however certain it is."""
    headline = changes.headline
    doubts = [
        f"{side.letter} cannot be trusted: {doubt}"
        for side in (changes.base, changes.other)
        for doubt in side.doubts
    ]
    if doubts:
        text = f"Nothing can be concluded. {' '.join(doubts)}"
        return ComparisonVerdict(ComparisonKind.CANNOT_TELL, text)
    if all(abs(figure.change) < material for figure in changes.all):
        text = f"No difference in {_subject(changes)}, nor in any part of it."
        return ComparisonVerdict(ComparisonKind.NO_DIFFERENCE, text)
    change = _headline_text(changes)
    explained = _explanation(changes)
    if headline.margin is None:
        text = f"{change}; whether that is more than noise cannot be told.{explained}"
        return ComparisonVerdict(ComparisonKind.CANNOT_TELL, text)
    if headline.different:
        text = f"{change}.{explained}{_batching_text(changes)}"
        text += f"{_load_text(changes)}{_recorder_text(changes)}"
        return ComparisonVerdict(_direction(changes), text)
    return _within_noise(changes, max(headline.margin, material))


def _direction(changes: Changes) -> ComparisonKind:
    more = changes.headline.change > 0
    if changes.unit == Unit.WINDOW:
        return ComparisonKind.MORE_IDLE if more else ComparisonKind.LESS_IDLE
    return ComparisonKind.SLOWER if more else ComparisonKind.FASTER


def _within_noise(changes: Changes, least: float) -> ComparisonVerdict:
    """Return the verdict where the headline's change is below `least`, which would have shown."""
    unit = changes.unit
    if unit == Unit.WINDOW:
        shows = unit.amount(least)
    else:
        shows = f"{100 * least / changes.headline.base:.2f} %"
    text = (
        f"No difference shows in {_subject(changes)}; one of more than {shows} would have."
    )
    moved = [
        f"{figure.name} {_signed(figure, unit)}"
        for figure in (*changes.parts, *changes.figures)
        if figure.different
    ]
    if not moved:
        return ComparisonVerdict(ComparisonKind.NO_DIFFERENCE, text)
    named = "; ".join(moved[:PARTS_NAMED])
    text += f" But within it: {named}.{_batching_text(changes)}"
    return ComparisonVerdict(ComparisonKind.SHIFTED, text)


def _subject(changes: Changes) -> str:
    """Return what is compared, with its values on both sides."""
    unit, headline = changes.unit, changes.headline
    subject = "idle time" if unit == Unit.WINDOW else f"time per {unit}"
    return f"{subject} ({unit.amount(headline.base)} and {unit.amount(headline.other)})"


def _headline_text(changes: Changes) -> str:
    """Return by how much the other side is slower, faster, more or less idle."""
    unit, headline = changes.unit, changes.headline
    base, other = changes.base.letter, changes.other.letter
    more = headline.change > 0
    values = _values_text(headline, unit)
    if unit == Unit.WINDOW:
        idle = "more" if more else "less"
        return f"{other} is {idle} idle than {base} ({values} of the window)"
    percent = abs(headline.percent or 0.0)
    longer = "longer" if more else "less"
    return f"{other} takes {percent:.2f} % {longer} per {unit} than {base} ({values})"


def _values_text(figure: Change, unit: Unit) -> str:
    """Return a figure on both sides, its change, and between what that lies."""
    text = f"{unit.amount(figure.base)} to {unit.amount(figure.other)}"
    text += f", {unit.change(figure.change)}"
    if figure.interval is not None:
        low, high = figure.interval
        text += f", between {unit.change(low)} and {unit.change(high)}"
    return text


def _explanation(changes: Changes) -> str:
    """Return which parts explain the headline's change; empty where there is none."""
    change, unit = changes.headline.change, changes.unit
    least = (1 - MOST) * abs(change)
    along, against = [], []
    for part in changes.parts:
        if part.change * change > 0:
            along.append(part)
        elif part.change * change < 0 and abs(part.change) >= least:
            against.append(part)
    named = _leading(along)
    if not named:
        return ""
    explained = _with_amounts(named, unit)
    if not against:
        explained_change = sum(part.change for part in named)
        return f" {100 * explained_change / change:.0f} % of that is {explained}."
    opposed = _with_amounts(against[:PARTS_NAMED], unit)
    grew, shrank = ("grew", "shrank") if change > 0 else ("shrank", "grew")
    return f" Most {grew} {explained}; against that, {opposed} {shrank}."


def _leading(parts: Sequence[Change]) -> list[Change]:
    """Return the first parts that make up most of them all."""
    enough = MOST * abs(sum(part.change for part in parts))
    leading: list[Change] = []
    for part in parts[:PARTS_NAMED]:
        if abs(sum(named.change for named in leading)) < enough:
            leading.append(part)
    return leading


def _batching_text(changes: Changes) -> str:
    """Return a sentence where the sides are batched differently; else nothing."""
    base, other = changes.base, changes.other
    if not base.batching or not other.batching or base.batching == other.batching:
        return ""
    return f" {base.letter} is {base.batching}, {other.letter} {other.batching}."


def _load_text(changes: Changes) -> str:
    """Return a sentence where the sides had other work to do; else nothing."""
    loads = other_load(changes.base, changes.other)
    return f" The load is another: {', and '.join(loads)}." if loads else ""


def _recorder_text(changes: Changes) -> str:
    """Return a sentence where the sides were recorded by different means; else nothing."""
    said = other_recorder(changes.base, changes.other)
    return f" {said}, and recording costs time." if said else ""


def _with_amounts(parts: Sequence[Change], unit: Unit) -> str:
    words = [f"{part.name} ({unit.change(part.change)})" for part in parts]
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _signed(figure: Change, unit: Unit) -> str:
    percent = "" if figure.percent is None else f", {figure.percent:+.1f} %"
    return f"{unit.change(figure.change)}{percent}"
