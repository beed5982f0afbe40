"""What a comparison of recordings shows, and what a history does."""

from __future__ import annotations

from idlescope.analysis.explain.entry import Entry, WordKind


def _comparison(name: str, means: str, measured: str, do: str) -> Entry:
    """Return the entry of a comparison's verdict: its causes are the parts that it lists."""
    return Entry(
        name=name,
        kinds=(WordKind.COMPARISON,),
        means=means,
        measured=measured,
        do=do,
        see=("noise",),
    )


COMPARISONS = (
    _comparison(
        "slower",
        "The other side takes longer per step, certainly.",
        "the time per step (or token) is longer by more than noise and by 0.1 % of it",
        "Look at the parts, the largest first: they add up to the change.",
    ),
    _comparison(
        "faster",
        "The other side takes less time per step, certainly.",
        "the time per step (or token) is shorter by more than noise and by 0.1 % of it",
        "Look at the parts: they say whether idle time went, or work.",
    ),
    _comparison(
        "more idle",
        "The device is idle for more of the window, where steps are not known.",
        "idle of the window is more by more than noise",
        "Name the steps (--phases), so that the time per step can be compared.",
    ),
    _comparison(
        "less idle",
        "The device is idle for less of the window, where steps are not known.",
        "idle of the window is less by more than noise",
        "Name the steps (--phases), so that the time per step can be compared.",
    ),
    _comparison(
        "shifted",
        "A step takes as long as before, but its parts have changed.",
        "no difference in all, but in parts, by more than noise",
        "Look at the parts: time that was idle may be work now, or the reverse.",
    ),
    _comparison(
        "no difference",
        "Nothing that is more than noise; it says how large a difference would have shown.",
        "neither the time per step nor any part of it differs by more than noise",
        "Give more recordings of each side to see smaller differences.",
    ),
)
