"""What changed between two sides, of one recording or several each: by how much, where, and whether it is noise.

The time a step divides into device compute, copies alone and idle by cause, `host` further by what the host did; so
does its change, and the parts add up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from idlescope.analysis import noise, sample
from idlescope.analysis.analyze import analyze
from idlescope.analysis.result import Analysis
from idlescope.analysis.sample import COMPUTE, COPIES, HOST_PREFIX, IDLE_PREFIX, Sample
from idlescope.analysis.verdict import CANNOT_TELL, Verdict
from idlescope.analysis.window import FIRST_LAST
from idlescope.errors import ConfigError
from idlescope.trace import runs
from idlescope.trace.model import Float64, Trace
from idlescope.trace.open import open_trace

SCHEMA = 1
UNITS = ("step", "token", "window")
MATERIAL = 0.001  # of the time a step: a smaller change is none, however certain it is
TOKENS_DIFFER = 0.02  # tokens a step: where they differ by more, steps are not the same work
STEPS_DIFFER = 0.1  # steps: where they differ by more, the runs do not cover the same contexts
ENOUGH_RECORDINGS = 3  # of one side, to tell how runs differ from one another
ENOUGH_BLOCKS = 6
# Of each part that varies within a run: what one recording a side leaves unknown. Of 16 runs on the CPU device of a
# machine that others used, the undisturbed ones varied by 0.6 to 2 % in compute and 0.7 to 4 % in a host phase.
RUN_TO_RUN = 0.01
HOST_PARTS = 12  # divisions of `host` that are kept apart, the largest
MOST = 0.75  # of a change that the parts named in the verdict explain together, where three at most can
ACTIVE, IDLE, HOST_WORK = "device active", "idle", "host work, hidden or not"
OTHER_HOST = f"{HOST_PREFIX}everything else"
REST = "rest: medians do not add up"
NO_DIFFERENCE, SHIFTED = "no difference", "shifted"

Source: TypeAlias = "str | Path | Trace | Analysis | Sample"


@dataclass(frozen=True)
class Side:
    """The recordings of one side."""

    letter: str  # what it is called in sentences
    samples: tuple[Sample, ...]

    @property
    def label(self) -> str:
        """Return the letter and the path of the first recording, and how many more there are."""
        more = f" and {len(self.samples) - 1} more" if len(self.samples) > 1 else ""
        return f"{self.letter}: {self.samples[0].path}{more}"

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
            "steps": [int(s.steps.sum()) for s in self.samples],
            "tokens_a_step": self.tokens_a_step,
        }


@dataclass(frozen=True)
class Change:
    """One figure on both sides: ns a step or a token, or % of the window."""

    name: str
    base: float
    other: float
    margin: float | None  # half of the 95 % interval about the change, which holds for all figures at once
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
        return None if self.margin is None else (self.change - self.margin, self.change + self.margin)

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
    unit: str  # of UNITS: what times are given for
    headline: Change  # time a step or a token; idle, where neither is known
    parts: tuple[Change, ...]  # add up to the headline; the largest change first
    figures: tuple[Change, ...]  # further ones, which overlap with the parts
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


def compare(
    base: Source | Sequence[Source], other: Source | Sequence[Source], *, per: str | None = None,
    mode: str | None = None, window: str = FIRST_LAST,
) -> Comparison:  # fmt: skip
    """Return what changed from one side to another, each one recording or several of the same configuration.

    A recording is a Trace, an Analysis, or a path: of anything that `open` reads, of a folder of `idlescope run`
    (`mode` names which of its recordings, where it has two), or of an `analysis.json`. Times are `per` "step", "token"
    or "window" (in per cent), by default the first that all recordings tell; a token, where their steps give out
    different numbers. Raises TraceError and ConfigError.
    """
    before, after = (
        Side(letter, tuple(read(s, mode=mode, window=window) for s in _several(sources)))
        for letter, sources in (("A", base), ("B", other))
    )
    return of_sides(before, after, per)


def _several(sources: Source | Sequence[Source]) -> Sequence[Source]:
    return [sources] if isinstance(sources, (str, Path, Trace, Analysis, Sample)) else sources


def read(
    source: Source, progress: Callable[[int], None] | None = None, *, mode: str | None = None, **options: Any
) -> Sample:  # fmt: skip
    """Return the Sample of a recording; `options` are those of `analyze`. Raises TraceError and ConfigError."""
    if isinstance(source, Sample):
        return source
    if isinstance(source, Analysis):
        return sample.of_analysis(source)
    if isinstance(source, Trace):
        return sample.of_analysis(analyze(source, **options))
    path = runs.recording(Path(source), mode)
    document = path / "analysis.json" if path.is_dir() else path
    if sample.is_analysis(document):
        if options.get("window", FIRST_LAST) != FIRST_LAST:
            raise ConfigError(f"{document} holds the figures of its own window: give the trace, to choose another")
        return sample.of_json(document)
    return sample.of_analysis(analyze(open_trace(path, progress), **options))


def of_sides(base: Side, other: Side, per: str | None = None) -> Comparison:
    """Return what changed between two sides. Raises ConfigError where a side is empty or `per` is not known."""
    if not base.samples or not other.samples:
        raise ConfigError("a side of the comparison has no recording: give one at least")
    unit = _unit(base, other, per)
    names = _names(base, other)
    rows = [np.array([_values(s, names, unit) for s in side.samples]) for side in (base, other)]
    margins, how = _noise(base, other, names, unit, rows)
    before, after = (np.median(r, axis=0) for r in rows)
    material = MATERIAL * before[0]
    changes = [
        Change(name, float(a), float(b), m, m is not None and abs(b - a) > m and abs(b - a) >= material)
        for name, a, b, m in zip(_columns(names), before, after, margins, strict=True)
    ]
    total, active, idle, work, *parts = changes
    headline, figures = replace(total, name=f"time a {unit}"), [active, idle]
    if unit == "window":
        headline, figures = idle, [active]
        parts = [p for p in parts if p.name.startswith(IDLE_PREFIX)]
    if all(s.steps.sum() > 0 for s in (*base.samples, *other.samples)):
        figures.append(work)
    rest = Change(REST, headline.base - sum(p.base for p in parts), headline.other - sum(p.other for p in parts), None)
    if abs(rest.change) > 1e-6 * abs(total.base):
        parts.append(rest)
    parts.sort(key=lambda p: (-abs(p.change), -p.base, p.name))
    made = Comparison(base, other, unit, headline, tuple(parts), tuple(figures), how, _warnings(base, other, unit),
                      Verdict("", ""))  # fmt: skip
    return replace(made, verdict=_judge(made, material))


def _unit(base: Side, other: Side, per: str | None) -> str:
    samples = (*base.samples, *other.samples)
    has = {
        "step": all(s.steps.sum() > 0 for s in samples), "token": all(s.tokens.sum() > 0 for s in samples),
        "window": True,
    }  # fmt: skip
    if per is not None:
        if per not in has:
            raise ConfigError(f"--per {per}: give {', '.join(UNITS)}")
        if not has[per]:
            which = next(s.path for s in samples if not (s.steps if per == "step" else s.tokens).sum() > 0)
            raise ConfigError(f"--per {per}: {which} does not tell its {per}s; leave --per out, or give --per window")
        return per
    a, b = base.tokens_a_step, other.tokens_a_step
    if a and b and abs(b - a) > TOKENS_DIFFER * a:
        return "token"
    return "step" if has["step"] else "window"


def _names(base: Side, other: Side) -> list[str]:
    """Return the parts that are told apart: all but the divisions of `host` that are small on both sides."""
    shares: dict[str, float] = {}
    for s in (*base.samples, *other.samples):
        window = sum(ns.sum() for ns in s.parts.values()) or 1.0
        for name, ns in s.parts.items():
            shares[name] = max(shares.get(name, 0.0), float(ns.sum() / window))
    host = [n for n in shares if n.startswith(HOST_PREFIX)]
    host = sorted((n for n in host if shares[n] >= MATERIAL), key=lambda n: (-shares[n], n))[:HOST_PARTS]
    small = [OTHER_HOST] if any(n.startswith(HOST_PREFIX) and n not in host for n in shares) else []
    return [COMPUTE, COPIES, *host, *small, *(n for n in shares if n.startswith(IDLE_PREFIX) and not
            n.startswith(HOST_PREFIX))]  # fmt: skip


def _columns(names: Sequence[str]) -> list[str]:
    return ["time", ACTIVE, IDLE, HOST_WORK, *names]


_SUMS = {0: slice(4, None), 1: slice(4, 6), 2: slice(6, None)}  # columns that are sums of those from COMPUTE on


def _matrix(s: Sample, names: Sequence[str]) -> Float64:
    """Return the ns of each of `_columns` in each block: (blocks, columns)."""
    other = [ns for n, ns in s.parts.items() if n.startswith(HOST_PREFIX) and n not in names]
    zero = np.zeros(s.blocks)
    parts = [sum(other, zero) if n == OTHER_HOST else s.parts.get(n, zero) for n in names]
    active = s.parts[COMPUTE] + s.parts[COPIES]
    total = np.sum(list(s.parts.values()), axis=0)
    return np.column_stack([total, active, total - active, s.host_work, *parts])


def _units(s: Sample, unit: str) -> Float64:
    """Return how many units each block has: steps, tokens, or hundredths of its time."""
    if unit == "window":
        return np.asarray(np.sum(list(s.parts.values()), axis=0) / 100.0, np.float64)
    return s.steps if unit == "step" else s.tokens


def _values(s: Sample, names: Sequence[str], unit: str) -> Float64:
    return np.asarray(_matrix(s, names).sum(0) / _units(s, unit).sum(), np.float64)


def _noise(
    base: Side, other: Side, names: Sequence[str], unit: str, rows: Sequence[Float64]
) -> tuple[Sequence[float | None], str]:
    """Return the margin of each column, and where it comes from."""
    counts = [len(side.samples) for side in (base, other)]
    if max(counts) >= ENOUGH_RECORDINGS:
        text = f"from how the {counts[0]} + {counts[1]} recordings differ (bootstrap of their medians)"
        return noise.of_recordings(*rows).tolist(), text
    blocks = min(s.blocks for s in (*base.samples, *other.samples))
    if blocks < ENOUGH_BLOCKS:
        return [None] * rows[0].shape[1], (
            f"not known: less than {ENOUGH_BLOCKS} steps, or figures without their steps; give longer recordings, or "
            f"at least {ENOUGH_RECORDINGS} of one side"
        )
    before, after = (
        np.mean([_deviations(s, names, unit, blocks) for s in side.samples], axis=0) for side in (base, other)
    )
    within = noise.of_blocks(after - before)
    between = RUN_TO_RUN * np.maximum(*(r.mean(0) for r in rows)) * (within > 0)
    for column, parts in _SUMS.items():  # what is added up varies as independent parts do
        between[column] = np.sqrt(np.sum(between[parts] ** 2))
    text = (
        f"from how {blocks} stretches of the recordings differ (block bootstrap), and {RUN_TO_RUN:.0%} of each part for "
        f"how one run differs from the next: {ENOUGH_RECORDINGS} recordings of one side would tell"
    )
    return np.hypot(within, between).tolist(), text


def _deviations(s: Sample, names: Sequence[str], unit: str, blocks: int) -> Float64:
    """Return by how much each block has more than its units account for, per unit of a mean block: (blocks, columns).

    That is a ratio linearised (Cochran, "Sampling techniques", 1977, section 6.3). Blocks of the two sides that cover
    the same part of the run are compared with each other, so that what changes in the course of both, such as the
    length of contexts, is no noise.
    """
    first = np.arange(blocks) * s.blocks // blocks
    ns = np.add.reduceat(_matrix(s, names), first)
    units = np.add.reduceat(_units(s, unit), first)
    return np.asarray((ns - np.outer(units, ns.sum(0) / units.sum())) / units.mean(), np.float64)


def _warnings(base: Side, other: Side, unit: str) -> tuple[str, ...]:
    said = []
    a, b = base.samples[0], other.samples[0]
    for side in (base, other):
        said += [f"{side.letter} cannot be trusted: {doubt}" for s in side.samples for doubt in s.doubts]
        if len({(s.modelled, s.name, s.model) for s in side.samples}) > 1:
            said.append(f"the recordings of {side.letter} are not of one configuration")
    if a.modelled != b.modelled:
        kinds = ("modelled", "measured") if a.modelled else ("measured", "modelled")
        said.append(
            f"A is {kinds[0]} and {other.letter} is {kinds[1]}: in part at least, a model differs from a machine here"
        )
    if a.name != b.name:
        said.append(f"A ran on {a.name or 'an unnamed device'}, {other.letter} on {b.name or 'an unnamed device'}")
    if a.model and b.model and a.model != b.model:
        said.append(f"A ran {a.model}, {other.letter} {b.model}")
    tokens = base.tokens_a_step, other.tokens_a_step
    if tokens[0] and tokens[1] and abs(tokens[1] - tokens[0]) > TOKENS_DIFFER * tokens[0]:
        how = "so times are given a token" if unit == "token" else "so their steps are not the same work"
        said.append(f"a step gives out {tokens[0]:.1f} tokens in A and {tokens[1]:.1f} in {other.letter}, {how}")
    steps = [float(np.median([s.steps.sum() for s in side.samples])) for side in (base, other)]
    if unit != "window" and abs(steps[1] - steps[0]) > STEPS_DIFFER * steps[0]:
        said.append(f"A has {steps[0]:,.0f} steps and {other.letter} {steps[1]:,.0f}: they may not cover the same work")
    return tuple(dict.fromkeys(said))


def _judge(c: Comparison, material: float) -> Verdict:
    """Return what a comparison shows, in a sentence or two."""
    h, unit = c.headline, c.unit
    what = "idle time" if unit == "window" else f"time a {unit}"
    values = f"{amount(h.base, unit)} and {amount(h.other, unit)}"
    doubts = [w for w in c.warnings if "cannot be trusted" in w]
    if doubts:
        return Verdict(CANNOT_TELL, f"Nothing can be concluded: {doubts[0]}")
    moved = [x for x in (*c.parts, *c.figures) if x.different]
    if all(abs(x.change) < material for x in (h, *c.parts, *c.figures)):
        return Verdict(
            NO_DIFFERENCE, f"No difference in {what} ({values}) or in any part of it of {MATERIAL:.1%} or more."
        )
    if h.margin is None:
        return Verdict(
            CANNOT_TELL,
            f"{_headline(c)}; whether that is more than noise cannot be told.{_explained(c)}",
        )
    if h.different:
        kinds = ("more idle", "less idle") if unit == "window" else ("slower", "faster")
        return Verdict(kinds[h.change < 0], f"{_headline(c)}.{_explained(c)}")
    least = max(h.margin, material)
    sensitive = f"more than {amount(least, unit) if unit == 'window' else f'{least / h.base:.2%}'} would have shown"
    if moved:
        shown = "; ".join(f"{m.name} {_signed(m, unit)}" for m in moved[:3])
        return Verdict(SHIFTED, f"No difference in {what} ({values}; {sensitive}), but within it: {shown}.")
    return Verdict(NO_DIFFERENCE, f"No difference in {what}: {values}; {sensitive}.")


def _headline(c: Comparison) -> str:
    h, unit = c.headline, c.unit
    between = ""
    if h.interval is not None:
        between = f", between {amount(h.interval[0], unit, '+')} and {amount(h.interval[1], unit, '+')}"
    values = f"{amount(h.base, unit)} to {amount(h.other, unit)}, {amount(h.change, unit, '+')}{between}"
    if unit == "window":
        return f"{c.other.letter} is {'more' if h.change > 0 else 'less'} idle than A ({values} of the window)"
    percent = abs(h.percent or 0.0)
    return f"{c.other.letter} takes {percent:.2f} % {'longer' if h.change > 0 else 'less'} a {unit} than A ({values})"


def _explained(c: Comparison) -> str:
    """Return which parts explain the change; empty where there is none."""
    h = c.headline
    with_it = [p for p in c.parts if p.change * h.change > 0]
    against = [p for p in c.parts if p.change * h.change < 0 and abs(p.change) >= (1 - MOST) * abs(h.change)]
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


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _signed(x: Change, unit: str) -> str:
    percent = "" if x.percent is None else f", {x.percent:+.1f} %"
    return f"{amount(x.change, unit, '+')}{percent}"


def amount(value: float, unit: str, sign: str = "") -> str:
    """Return a figure with its unit: milliseconds, or per cent of the window; `sign` "+" writes that, too."""
    if unit == "window":
        return f"{value:{sign}.2f} %"
    return f"{value / 1e6:{sign},.4g} ms"
