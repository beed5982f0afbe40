"""What a comparison of two sides found, and what it means in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from idlescope.analysis.comparison.blocks import Sample
from idlescope.analysis.steps.batching import ASYNCHRONOUS, SERIALISED, SYNCHRONOUS
from idlescope.analysis.verdict.verdict import CANNOT_TELL, Verdict

MOST = 0.75  # of a change that the parts named in the verdict explain together, where three at most can
A_TOKEN = "time a token"  # noqa: S105 - no password
NO_DIFFERENCE, SHIFTED = "no difference", "shifted"


@dataclass(frozen=True)
class Side:
    """The recordings of one side."""

    letter: str  # what it is called in sentences
    samples: tuple[Sample, ...]

    @property
    def label(self) -> str:
        """Return the letter and the first recording's path, how many more there are, and whether it is modelled."""
        more = f" and {len(self.samples) - 1} more" if len(self.samples) > 1 else ""
        modelled = " (modelled, not measured)" if self.samples[0].modelled else ""
        return f"{self.letter}: {self.samples[0].path}{more}{modelled}"

    @property
    def batching(self) -> str:
        """Return how the recordings are batched; empty where that is not known, or not the same."""
        kinds = {s.batching for s in self.samples}
        return (
            kinds.pop()
            if len(kinds) == 1 and kinds <= {SYNCHRONOUS, ASYNCHRONOUS, SERIALISED}
            else ""
        )

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return why nothing can be concluded from a recording of the side, a sentence each."""
        return tuple(dict.fromkeys(doubt for s in self.samples for doubt in s.doubts))

    @property
    def tokens_a_step(self) -> float | None:
        """Return the median over recordings; None where a recording does not tell."""
        each = [(s.tokens.sum(), s.steps.sum()) for s in self.samples]
        return float(np.median([t / n for t, n in each])) if all(t and n for t, n in each) else None

    def to_json(self) -> dict[str, Any]:
        """Return the side as JSON values."""
        first = self.samples[0]
        return {
            "letter": self.letter,
            "paths": [s.path for s in self.samples],
            "device": first.name,
            "model": first.model or None,
            "modelled": first.modelled,
            "batching": self.batching or None,
            "steps": [int(s.steps.sum()) for s in self.samples],
            "tokens_a_step": self.tokens_a_step,
        }


@dataclass(frozen=True)
class Change:
    """One figure on both sides: ns a step or a token, or % of the window."""

    name: str
    base: float
    other: float
    margin: (
        float | None
    )  # half of the 95 % interval about the change, which holds for all figures at once
    different: bool = False  # certainly more than noise, and large enough to matter

    @property
    def change(self) -> float:
        """Return by how much the other side has more."""
        return self.other - self.base

    @property
    def percent(self) -> float | None:
        """Return the change in per cent of the base; None of nothing."""
        return 100.0 * self.change / self.base if self.base else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the change; None where noise is not known."""
        return (
            None if self.margin is None else (self.change - self.margin, self.change + self.margin)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        low, high = self.interval or (None, None)
        return {
            "name": self.name, "base": self.base, "other": self.other, "change": self.change, "low": low, "high": high,
            "percent": self.percent, "different": self.different,
        }  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """What changed from `base` to `other`."""

    base: Side
    other: Side
    unit: str  # what times are given for: step, token or window
    headline: Change  # time a step or a token; idle, where neither is known
    parts: tuple[Change, ...]  # add up to the headline; the largest change first
    figures: tuple[Change, ...]  # further ones, which overlap with the parts; A_TOKEN is a token's
    noise: str  # where the intervals come from
    warnings: tuple[str, ...]
    verdict: Verdict  # "slower", "faster", "more idle", "less idle", "shifted", "no difference" or "cannot tell"

    def share(self, part: Change) -> float | None:
        """Return a part's change in per cent of the headline's; None of nothing."""
        return 100.0 * part.change / self.headline.change if self.headline.change else None

    def to_json(self) -> dict[str, Any]:
        """Return one entry of `compare --json` (README.md, "JSON")."""
        return {
            "base": self.base.to_json(),
            "other": self.other.to_json(),
            "unit": "% of the window" if self.unit == "window" else f"ns a {self.unit}",
            "headline": self.headline.to_json(),
            "parts": [{**p.to_json(), "share_pct": self.share(p)} for p in self.parts],
            "figures": [f.to_json() for f in self.figures],
            "noise": self.noise,
            "verdict": asdict(self.verdict),
            "warnings": list(self.warnings),
        }


def judge(c: Comparison, material: float) -> Verdict:
    """Return what a comparison shows; a change below `material` is none, however certain it is."""
    h = c.headline
    if doubts := [
        f"{side.letter} cannot be trusted: {d}" for side in (c.base, c.other) for d in side.doubts
    ]:
        return Verdict(CANNOT_TELL, f"Nothing can be concluded. {' '.join(doubts)}")
    if all(abs(x.change) < material for x in (h, *c.parts, *c.figures)):
        return Verdict(NO_DIFFERENCE, f"No difference in {_what(c)}, nor in any part of it.")
    if h.margin is None:
        return Verdict(
            CANNOT_TELL,
            f"{_headline(c)}; whether that is more than noise cannot be told.{_explained(c)}",
        )
    if h.different:
        kinds = ("more idle", "less idle") if c.unit == "window" else ("slower", "faster")
        return Verdict(kinds[h.change < 0], f"{_headline(c)}.{_explained(c)}{_batching(c)}")
    return _within_noise(c, max(h.margin, material))


def _within_noise(c: Comparison, least: float) -> Verdict:
    """Return the verdict where the headline's change is below `least`, which would have shown."""
    shows = (
        amount(least, c.unit) if c.unit == "window" else f"{100 * least / c.headline.base:.2f} %"
    )
    says = f"No difference shows in {_what(c)}; one of more than {shows} would have."
    moved = [f"{x.name} {_signed(x, c.unit)}" for x in (*c.parts, *c.figures) if x.different]
    if moved:
        return Verdict(SHIFTED, f"{says} But within it: {'; '.join(moved[:3])}.{_batching(c)}")
    return Verdict(NO_DIFFERENCE, says)


def _what(c: Comparison) -> str:
    values = f"{amount(c.headline.base, c.unit)} and {amount(c.headline.other, c.unit)}"
    return f"{'idle time' if c.unit == 'window' else f'time a {c.unit}'} ({values})"


def _headline(c: Comparison) -> str:
    h, unit = c.headline, c.unit
    between = ""
    if h.interval is not None:
        between = (
            f", between {amount(h.interval[0], unit, '+')} and {amount(h.interval[1], unit, '+')}"
        )
    values = (
        f"{amount(h.base, unit)} to {amount(h.other, unit)}, {amount(h.change, unit, '+')}{between}"
    )
    one, two, more = c.base.letter, c.other.letter, h.change > 0
    if unit == "window":
        return f"{two} is {'more' if more else 'less'} idle than {one} ({values} of the window)"
    return f"{two} takes {abs(h.percent or 0.0):.2f} % {'longer' if more else 'less'} a {unit} than {one} ({values})"


def _explained(c: Comparison) -> str:
    """Return which parts explain the change; empty where there is none."""
    h = c.headline
    with_it = [p for p in c.parts if p.change * h.change > 0]
    against = [
        p
        for p in c.parts
        if p.change * h.change < 0 and abs(p.change) >= (1 - MOST) * abs(h.change)
    ]
    whole = sum(p.change for p in with_it)
    named: list[Change] = []
    for part in with_it[:3]:
        if abs(sum(n.change for n in named)) < MOST * abs(whole):
            named.append(part)
    if not named:
        return ""
    said = _listed([f"{p.name} ({amount(p.change, c.unit, '+')})" for p in named])
    if not against:
        return f" {100 * sum(n.change for n in named) / h.change:.0f} % of that is {said}."
    verbs = ("grew", "shrank") if h.change > 0 else ("shrank", "grew")
    opposed = _listed([f"{p.name} ({amount(p.change, c.unit, '+')})" for p in against[:3]])
    return f" Most {verbs[0]} {said}; against that, {opposed} {verbs[1]}."


def _batching(c: Comparison) -> str:
    """Return a sentence where the sides are batched differently; else nothing."""
    a, b = c.base.batching, c.other.batching
    return f" {c.base.letter} is {a}, {c.other.letter} {b}." if a and b and a != b else ""


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _signed(x: Change, unit: str) -> str:
    percent = "" if x.percent is None else f", {x.percent:+.1f} %"
    return f"{amount(x.change, unit, '+')}{percent}"


def amount(value: float, unit: str, sign: str = "") -> str:
    """Return a figure with its unit: milliseconds, or per cent of the window; a change of one with `sign` "+"."""
    if unit == "window":
        return f"{value:{sign}.2f} {'points' if sign else '%'}"
    return f"{value / 1e6:{sign},.4g} ms"
