"""Ranks, shares and remedies in words, for the verdict on a group of ranks."""

from __future__ import annotations

from collections.abc import Sequence

from idlescope.analysis.prediction.prediction import WORTH
from idlescope.analysis.ranks.group import Group
from idlescope.analysis.steps.batching import BatchingKind
from idlescope.analysis.verdict.remedy import asynchronous_batching

_NUMBERED = ("rank ", "device ")


def names(labels: Sequence[str], most: int = 3) -> str:
    """Return some ranks in words: `rank 1`, `ranks 1 and 2`, `ranks 1, 2, 3 and 5 more`."""
    if len(labels) == 1:
        return labels[0]
    for word in _NUMBERED:
        if all(label.startswith(word) for label in labels):
            numbers = [label.removeprefix(word) for label in labels]
            return f"{word.strip()}s {_listed(numbers, most)}"
    return _listed(labels, most)


def _listed(words: Sequence[str], most: int) -> str:
    further = len(words) - most
    if further > 0:
        words = [*words[:most], f"{further} more"]
    *first_ones, last_one = words
    return f"{', '.join(first_ones)} and {last_one}"


def sentence(text: str) -> str:
    """Return a sentence that begins with a rank; names of files stay as they are."""
    begins_with_word = text.startswith(("rank", "device"))
    return text[:1].upper() + text[1:] if begins_with_word else text


def between(shares: Sequence[float]) -> str:
    """Return some percentages as one, or as the least and the most."""
    least, most = f"{min(shares):.0f}", f"{max(shares):.0f}"
    return most if least == most else f"{least} to {most}"


def collectives(group: Group) -> str:
    """Return what the ranks do together, in words."""
    kinds = [str(what) for what in group.collectives[:2]]
    return " and ".join(kinds) if kinds else "collectives"


def least_step(group: Group) -> str:
    """Return how long a step would be if no rank waited."""
    least_ns, step_ns = group.least_step_ns, group.step_ns
    if least_ns is None or step_ns is None:
        return "the others would be as fast as their own work allows"
    return f"a step would take {least_ns / 1e6:.2f} ms instead of {step_ns / 1e6:.2f}"


def asynchronous_saving(group: Group) -> str:
    """Return what asynchronous batching would give the group; empty: nothing, or not told."""
    step_ns, predicted_ns = group.step_ns, group.predicted_step_ns
    synchronous = group.batching in (BatchingKind.SYNCHRONOUS, BatchingKind.SERIALISED)
    if not synchronous:
        return ""
    prediction = group.prediction
    if prediction is None or step_ns is None or predicted_ns is None:
        return ""
    saved = 1 - predicted_ns / prediction.recorded_step_ns
    if saved < WORTH:
        return ""
    what = asynchronous_batching(group.driver.engine)
    return (
        f"{what} would make it {predicted_ns / 1e6:.2f} ms per step of the group "
        f"instead of {prediction.recorded_step_ns / 1e6:.2f}, "
        f"{100 * saved:.1f} % less."
    )
