"""What changed between two sides, of one recording or several each: by how much, where, and whether it is noise.

The time a step divides into device compute, copies alone and idle by cause, `host` further by what the host did; so
does its change, and the parts add up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from idlescope.analysis import noise, sample
from idlescope.analysis.analyze import analyze
from idlescope.analysis.causes import CAUSES
from idlescope.analysis.comparison import A_TOKEN, Change, Comparison, Side, judge
from idlescope.analysis.result import Analysis
from idlescope.analysis.sample import COMPUTE, COPIES, HOST_PREFIX, IDLE_PREFIX, Sample
from idlescope.analysis.verdict import Verdict
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
ACTIVE, IDLE = "device active", "idle"
OTHER_HOST = f"{HOST_PREFIX}everything else"
REST = "rest: medians do not add up"
ROUNDING = 1e-9
FIRST_PART = 3  # column of `_matrix`, after the time, active and idle time

Source: TypeAlias = "str | Path | Trace | Analysis | Sample"


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
        if any(value not in (None, FIRST_LAST) for value in options.values()):
            raise ConfigError(f"{document} holds figures that are made already: give the trace, to choose what of it")
        return sample.of_json(document)
    return sample.of_analysis(analyze(open_trace(path, progress), **options))


def of_sides(base: Side, other: Side, per: str | None = None) -> Comparison:
    """Return what changed between two sides. Raises ConfigError where a side is empty or `per` is not known."""
    if not base.samples or not other.samples:
        raise ConfigError("a side of the comparison has no recording: give one at least")
    unit = _unit(base, other, per)
    parts, work = _parts(base, other), _work(base, other)
    rows = [np.array([_values(s, parts, work, unit) for s in side.samples]) for side in (base, other)]
    margins, how = _noise(base, other, parts, work, unit, rows)
    before, after = (np.median(r, axis=0) for r in rows)
    material = MATERIAL * before[0]
    changes = [
        Change(name, float(a), float(b), m, m is not None and bool(abs(b - a) > m and abs(b - a) >= material))
        for name, a, b, m in zip(
            [f"time a {unit}", ACTIVE, IDLE, *parts, *work, A_TOKEN], before, after, margins, strict=True
        )
    ]
    headline, active, idle, *others = changes[:-1]
    divided, hidden = others[: len(parts)], others[len(parts) :]
    figures = [active, idle, *hidden]
    if unit == "window":
        headline, figures = idle, [active, *hidden]
        divided = [p for p in divided if p.name.startswith(IDLE_PREFIX)]
    if unit == "step" and changes[-1].base and changes[-1].other:
        figures.append(changes[-1])
    rest = Change(
        REST, headline.base - sum(p.base for p in divided), headline.other - sum(p.other for p in divided), None
    )
    if abs(rest.change) > ROUNDING * abs(headline.base):
        divided.append(rest)
    divided.sort(key=lambda p: (-abs(p.change), -p.base, p.name))
    made = Comparison(base, other, unit, headline, tuple(divided), tuple(figures), how, _warnings(base, other, unit),
                      Verdict("", ""))  # fmt: skip
    return replace(made, verdict=judge(made, material))


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


def _parts(base: Side, other: Side) -> list[str]:
    """Return the parts that are told apart: all but the divisions of `host` that are small on both sides."""
    shares = _shares([(s, s.parts) for s in (*base.samples, *other.samples)])
    host = {n: share for n, share in shares.items() if n.startswith(HOST_PREFIX)}
    large = [n for n in sorted(host, key=lambda n: (-host[n], n)) if host[n] >= MATERIAL][:HOST_PARTS]
    small = [OTHER_HOST] if len(large) < len(host) else []
    return [COMPUTE, COPIES, *large, *small, *(f"{IDLE_PREFIX}{cause}" for cause in CAUSES[1:])]


def _work(base: Side, other: Side) -> list[str]:
    """Return the kinds of host work that every recording tells, but the small ones."""
    samples = (*base.samples, *other.samples)
    shares = _shares([(s, s.work) for s in samples])
    known = [n for n, share in shares.items() if share >= MATERIAL and all(n in s.work for s in samples)]
    return sorted(known, key=lambda n: (-shares[n], n))


def _shares(tables: Sequence[tuple[Sample, Mapping[str, Float64]]]) -> dict[str, float]:
    """Return the largest share of the window that each name has in any recording."""
    shares: dict[str, float] = {}
    for s, columns in tables:
        for name, ns in columns.items():
            shares[name] = max(shares.get(name, 0.0), float(ns.sum()) / (float(s.window.sum()) or 1.0))
    return shares


def _matrix(s: Sample, parts: Sequence[str], work: Sequence[str]) -> Float64:
    """Return the ns of the window, active and idle time, parts and host work in each block: (blocks, columns)."""
    other = [ns for n, ns in s.parts.items() if n.startswith(HOST_PREFIX) and n not in parts]
    zero = np.zeros(s.blocks)
    divided = [sum(other, zero) if n == OTHER_HOST else s.parts.get(n, zero) for n in parts]
    active = s.parts[COMPUTE] + s.parts[COPIES]
    return np.column_stack([s.window, active, s.window - active, *divided, *(s.work[n] for n in work)])


def _units(s: Sample, unit: str) -> Float64:
    """Return how many units each block has: steps, tokens, or hundredths of its time."""
    if unit == "window":
        return s.window / 100.0
    return s.steps if unit == "step" else s.tokens


def _values(s: Sample, parts: Sequence[str], work: Sequence[str], unit: str) -> Float64:
    """Return the columns of `_matrix` a unit, and the time a token (0: not known)."""
    columns = _matrix(s, parts, work).sum(0) / _units(s, unit).sum()
    return np.append(columns, s.window.sum() / s.tokens.sum() if s.tokens.any() else 0.0)


def _noise(
    base: Side, other: Side, parts: Sequence[str], work: Sequence[str], unit: str, rows: Sequence[Float64]
) -> tuple[Sequence[float | None], str]:
    """Return the margin of each column, and where it comes from."""
    counts = [len(side.samples) for side in (base, other)]
    if max(counts) >= ENOUGH_RECORDINGS:
        text = f"from how the {counts[0]} + {counts[1]} recordings differ (bootstrap of their medians)"
        divided = np.concatenate(rows)[:, FIRST_PART : FIRST_PART + len(parts)]
        varying = int((np.ptp(divided, axis=0) > ROUNDING * divided.mean(0)).sum())
        return noise.of_recordings(rows[0], rows[1], independent=max(varying, 1)).tolist(), text
    blocks = min(s.blocks for s in (*base.samples, *other.samples))
    if blocks < ENOUGH_BLOCKS:
        return [None] * rows[0].shape[1], (
            f"not known: less than {ENOUGH_BLOCKS} steps, or figures without their steps; give longer recordings, or "
            f"at least {ENOUGH_RECORDINGS} of one side"
        )
    before, after = (
        np.mean([_deviations(s, parts, work, unit, blocks) for s in side.samples], axis=0) for side in (base, other)
    )
    steps = min(s.steps.sum() for s in (*base.samples, *other.samples))
    within = noise.of_blocks(after - before, max(float(steps) / blocks, 1.0))
    size = np.maximum(*(r.mean(0) for r in rows))
    between = RUN_TO_RUN * size * (within > ROUNDING * size)  # what is fixed within a run is so from run to run
    first, end = (
        FIRST_PART,
        FIRST_PART + len(parts),
    )  # time, active and idle before them are sums of parts, which vary independently
    for column, some in enumerate((slice(first, end), slice(first, first + 2), slice(first + 2, end))):
        between[column] = np.sqrt(np.sum(between[some] ** 2))
    between[-1] = between[0] * size[-1] / size[0]  # the time a token varies as that of a step
    text = (
        f"from how {blocks} stretches of the recordings differ (block bootstrap), and {100 * RUN_TO_RUN:g} % of each "
        f"part for how one run differs from the next, which {ENOUGH_RECORDINGS} recordings of one side would tell"
    )
    return np.hypot(within, between).tolist(), text


def _deviations(s: Sample, parts: Sequence[str], work: Sequence[str], unit: str, blocks: int) -> Float64:
    """Return by how much each block has more than its units account for, per unit of a mean block: as `_values`.

    That is a ratio linearised (Cochran, "Sampling techniques", 1977, section 6.3). Blocks of the two sides that cover
    the same part of the run are compared with each other, so that what changes in the course of both, such as the
    length of contexts, is no noise.
    """
    first = np.arange(blocks) * s.blocks // blocks

    def linearised(ns: Float64, units: Float64) -> Float64:
        ns, units = np.add.reduceat(ns, first), np.add.reduceat(units, first)
        return np.asarray((ns - np.outer(units, ns.sum(0) / units.sum())) / units.mean(), np.float64)

    window = s.window[:, None]
    a_token = linearised(window, s.tokens) if s.tokens.any() else np.zeros((blocks, 1))
    return np.hstack([linearised(_matrix(s, parts, work), _units(s, unit)), a_token])


def _warnings(base: Side, other: Side, unit: str) -> tuple[str, ...]:
    said = []
    a, b = base.samples[0], other.samples[0]
    for side in (base, other):
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
