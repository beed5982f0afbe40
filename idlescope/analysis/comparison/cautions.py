"""What a reader of a comparison should know: where the two sides are not alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from idlescope.analysis.comparison.change import Side
from idlescope.analysis.comparison.unit import Unit

TOKENS_DIFFER = (
    0.02  # tokens per step: where they differ by more, steps are not the same work
)
PROMPTS_DIFFER = 2.0  # points of the steps that compute a prompt, likewise
STEPS_DIFFER = (
    0.1  # steps: where they differ by more, the runs do not cover the same contexts
)

APART_MATTERS = 0.01  # of the window


def cautions(base: Side, other: Side, unit: Unit) -> tuple[str, ...]:
    """Return a sentence for each respect in which the sides differ, and their own warnings."""
    return (
        *_mixed_configurations(base, other),
        *_machines(base, other),
        *_recorders(base, other),
        *_steps(base, other, unit),
        *_apart(base, other, unit),
        *_own_warnings(base, other),
    )


def steps_differ(base: Side, other: Side) -> bool:
    """Return whether steps of the sides give out different numbers of tokens."""
    before, after = base.tokens_per_step, other.tokens_per_step
    if not before or not after:
        return False
    return abs(after - before) > TOKENS_DIFFER * before


def other_load(base: Side, other: Side) -> tuple[str, ...]:
    """Return in which respects the steps of the sides had other work to do, a clause each."""
    one, two = base.letter, other.letter
    found = []
    if steps_differ(base, other):
        found.append(
            f"a step gives out {base.tokens_per_step:.1f} tokens in {one} and "
            f"{other.tokens_per_step:.1f} in {two}"
        )
    before, after = base.prompt_pct, other.prompt_pct
    if before is not None and after is not None and abs(after - before) > PROMPTS_DIFFER:
        found.append(
            f"{before:.1f} % of the steps compute prompts in {one}, {after:.1f} % in {two}"
        )
    return tuple(found)


def other_recorder(base: Side, other: Side) -> str:
    """Return by what each side was recorded, where that differs and is known; else ""."""
    before, after = (
        {recording.recorded_by for recording in side.recordings} for side in (base, other)
    )
    if before == after or "" in before | after:
        return ""
    one, two = (" or ".join(sorted(recorders)) for recorders in (before, after))
    return f"{base.letter} was recorded by {one}, {other.letter} by {two}"


def _mixed_configurations(base: Side, other: Side) -> Iterator[str]:
    for side in (base, other):
        configurations = {
            (recording.modelled, recording.device_name, recording.model)
            for recording in side.recordings
        }
        if len(configurations) > 1:
            yield f"the recordings of {side.letter} are not of one configuration"


def _machines(base: Side, other: Side) -> Iterator[str]:
    one, two = base.letter, other.letter
    before, after = base.first, other.first
    if before.modelled != after.modelled:
        kinds = ("modelled", "measured") if before.modelled else ("measured", "modelled")
        yield (
            f"{one} is {kinds[0]} and {two} is {kinds[1]}: in part at least, a model differs from "
            "a machine here"
        )
    if before.device_name != after.device_name:
        unnamed = "an unnamed device"
        yield (
            f"{one} ran on {before.device_name or unnamed}, {two} on {after.device_name or unnamed}"
        )
    if before.model and after.model and before.model != after.model:
        yield f"{one} ran {before.model}, {two} {after.model}"


def _recorders(base: Side, other: Side) -> Iterator[str]:
    said = other_recorder(base, other)
    if said:
        yield f"{said}: what recording costs the host is a part of the times"


def _steps(base: Side, other: Side, unit: Unit) -> Iterator[str]:
    one, two = base.letter, other.letter
    consequence = "so their steps are not the same work"
    if unit == Unit.TOKEN:
        consequence = "so times are given per token"
    loads = other_load(base, other)
    if loads:
        yield f"{', and '.join(loads)}, {consequence}"
    if unit == Unit.WINDOW:
        return
    before, after = base.steps, other.steps
    if abs(after - before) > STEPS_DIFFER * before:
        yield (
            f"{one} has {before:,.0f} steps and {two} {after:,.0f}: they may not cover the same "
            "work"
        )


def _apart(base: Side, other: Side, unit: Unit) -> Iterator[str]:
    """Yield how long each side stood still at no cost of a step, where that is worth a word."""
    if unit == Unit.WINDOW:
        return
    for side in (base, other):
        apart_ns = float(
            np.median([recording.apart.sum() for recording in side.recordings])
        )
        window_ns = float(
            np.median([recording.window.sum() for recording in side.recordings])
        )
        if apart_ns >= APART_MATTERS * window_ns:
            yield (
                f"{side.letter} stood still for {apart_ns / 1e6:,.1f} ms in pauses or for want of "
                "requests, which is no cost of a step and left out"
            )


def _own_warnings(base: Side, other: Side) -> Iterator[str]:
    """Yield each warning of a recording once, with the sides that it is of."""
    letters: dict[str, list[str]] = {}
    for side in (base, other):
        for recording in side.recordings:
            for warning in recording.warnings:
                sides = letters.setdefault(warning, [])
                if side.letter not in sides:
                    sides.append(side.letter)
    for warning, sides in letters.items():
        yield f"{' and '.join(sides)}: {warning}"
