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

from idlescope.analysis.analyze import analyze
from idlescope.analysis.comparison import blocks as sample
from idlescope.analysis.comparison import noise
from idlescope.analysis.comparison.blocks import IDLE_PREFIX, Sample
from idlescope.analysis.comparison.change import A_TOKEN, Change, Comparison, Side, judge
from idlescope.analysis.comparison.columns import ACTIVE, HOST_IDLE, IDLE, Layout, layout
from idlescope.analysis.result import Analysis
from idlescope.analysis.steps.window import FIRST_LAST
from idlescope.analysis.verdict.verdict import Verdict
from idlescope.errors import ConfigError, TraceError
from idlescope.trace import run_folder
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace
from idlescope.trace.table import Float64

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
REST = "rest: medians do not add up"
ROUNDING = 1e-9

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
        refuse_choice(source.path, options)
        return source
    if isinstance(source, Analysis):
        refuse_choice(source.source["path"], options)
        return sample.of_analysis(source)
    if isinstance(source, Trace):
        return sample.of_analysis(analyze(source, **options))
    path = run_folder.recording(Path(source), mode)
    document = path / "analysis.json" if path.is_dir() else path
    if sample.is_analysis(document):
        refuse_choice(document, options)
        return sample.of_json(document)
    return sample.of_analysis(analyze(open_trace(path, progress), **options))


def refuse_choice(path: object, options: Mapping[str, Any]) -> None:
    """Raise ConfigError where options of `analyze` ask for a part of what is analysed already."""
    if any(value not in (None, FIRST_LAST) for value in options.values()):
        raise ConfigError(
            f"the figures of {path} are made already: give the trace, to choose what of it they are of"
        )


def of_sides(base: Side, other: Side, per: str | None = None) -> Comparison:
    """Return what changed between two sides.

    Raises ConfigError where a side is empty or `per` is not known, TraceError where a recording spans no time.
    """
    samples = (*base.samples, *other.samples)
    if not base.samples or not other.samples:
        raise ConfigError("a side of the comparison has no recording: give one at least")
    for s in samples:
        if not s.window.any():
            raise TraceError(
                f"{s.path} spans no time, so there is nothing to compare: record some steps"
            )
    columns = layout(samples, _unit(base, other, per))
    rows = [np.array([columns.values(s) for s in side.samples]) for side in (base, other)]
    margins, how = _noise(base, other, columns, rows)
    before, after = (np.median(r, axis=0) for r in rows)
    material = MATERIAL * before[0]
    names = [
        f"time a {columns.unit}",
        ACTIVE,
        IDLE,
        HOST_IDLE,
        *columns.parts,
        *columns.work,
        A_TOKEN,
    ]
    total, active, idle, host, *others, a_token = (
        Change(
            name,
            float(a),
            float(b),
            m,
            m is not None and bool(abs(b - a) > m and abs(b - a) >= material),
        )
        for name, a, b, m in zip(names, before, after, margins, strict=True)
    )
    parts, work = others[: len(columns.parts)], others[len(columns.parts) :]
    headline, figures = total, [active, idle, host, *work]
    if columns.unit == "window":
        headline, figures = idle, [active, host, *work]
        parts = [p for p in parts if p.name.startswith(IDLE_PREFIX)]
    if columns.unit == "step" and a_token.base and a_token.other:
        figures.append(a_token)
    rest = Change(
        REST,
        headline.base - sum(p.base for p in parts),
        headline.other - sum(p.other for p in parts),
        None,
    )
    if abs(rest.change) > ROUNDING * abs(headline.base):
        parts.append(rest)
    parts.sort(key=lambda p: (-abs(p.change), -p.base, p.name))
    found = Comparison(
        base, other, columns.unit, headline, tuple(parts), tuple(figures), how, _warnings(base, other, columns.unit),
        Verdict("", ""),
    )  # fmt: skip
    return replace(found, verdict=judge(found, material))


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
            which = next(
                s.path for s in samples if not (s.steps if per == "step" else s.tokens).sum() > 0
            )
            raise ConfigError(
                f"--per {per}: {which} does not tell its {per}s; leave --per out, or give --per window"
            )
        return per
    a, b = base.tokens_a_step, other.tokens_a_step
    if a and b and abs(b - a) > TOKENS_DIFFER * a:
        return "token"
    return "step" if has["step"] else "window"


def _noise(
    base: Side, other: Side, columns: Layout, rows: Sequence[Float64]
) -> tuple[Sequence[float | None], str]:  # fmt: skip
    """Return the margin of each column, and where it comes from; `rows` are the values of either side's recordings."""
    counts, samples = [len(side.samples) for side in (base, other)], (*base.samples, *other.samples)
    if max(counts) >= ENOUGH_RECORDINGS:
        text = (
            f"from how the {counts[0]} + {counts[1]} recordings differ (bootstrap of their medians)"
        )
        told = np.concatenate(rows)[:, : columns.divided.stop]  # host work is mostly a part again
        varying = int((np.ptp(told, axis=0) > ROUNDING * told.mean(0)).sum())
        return noise.of_recordings(rows[0], rows[1], independent=max(varying, 1)).tolist(), text
    blocks = min(s.blocks for s in samples)
    if blocks < ENOUGH_BLOCKS:
        return [None] * rows[0].shape[1], (
            f"not known: less than {ENOUGH_BLOCKS} steps, or figures without their steps; give longer recordings, or "
            f"at least {ENOUGH_RECORDINGS} of one side"
        )
    # Blocks that cover the same part of the run are compared with each other: what changes in the course of both, such
    # as the length of contexts, is no noise.
    before, after = (
        np.mean([columns.deviations(s, blocks) for s in side.samples], axis=0) for side in (base, other)
    )  # fmt: skip
    within = noise.of_blocks(
        after - before, max(min(float(s.steps.sum()) for s in samples) / blocks, 1.0)
    )
    size = np.maximum(*(r.mean(0) for r in rows))
    between = (
        RUN_TO_RUN * size * (within > ROUNDING * size)
    )  # what is fixed within a run is so from run to run
    for column, parts in enumerate(columns.sums):
        between[column] = np.sqrt(np.sum(between[parts] ** 2))  # parts vary independently
    between[-1] = between[0] * size[-1] / size[0]  # the time a token as that of a step
    text = (
        f"from how {blocks} stretches of the recordings differ (block bootstrap), and {100 * RUN_TO_RUN:g} % of each "
        f"part for how one run differs from the next, which {ENOUGH_RECORDINGS} recordings of one side would tell"
    )
    return np.hypot(within, between).tolist(), text


def _warnings(base: Side, other: Side, unit: str) -> tuple[str, ...]:
    said = []
    (one, a), (two, b) = ((side.letter, side.samples[0]) for side in (base, other))
    for side in (base, other):
        if len({(s.modelled, s.name, s.model) for s in side.samples}) > 1:
            said.append(f"the recordings of {side.letter} are not of one configuration")
    if a.modelled != b.modelled:
        kinds = ("modelled", "measured") if a.modelled else ("measured", "modelled")
        said.append(
            f"{one} is {kinds[0]} and {two} is {kinds[1]}: in part at least, a model differs from a machine here"
        )
    if a.name != b.name:
        said.append(
            f"{one} ran on {a.name or 'an unnamed device'}, {two} on {b.name or 'an unnamed device'}"
        )
    if a.model and b.model and a.model != b.model:
        said.append(f"{one} ran {a.model}, {two} {b.model}")
    tokens = base.tokens_a_step, other.tokens_a_step
    if tokens[0] and tokens[1] and abs(tokens[1] - tokens[0]) > TOKENS_DIFFER * tokens[0]:
        how = (
            "so times are given a token"
            if unit == "token"
            else "so their steps are not the same work"
        )
        said.append(
            f"a step gives out {tokens[0]:.1f} tokens in {one} and {tokens[1]:.1f} in {two}, {how}"
        )
    steps = [float(np.median([s.steps.sum() for s in side.samples])) for side in (base, other)]
    if unit != "window" and abs(steps[1] - steps[0]) > STEPS_DIFFER * steps[0]:
        said.append(
            f"{one} has {steps[0]:,.0f} steps and {two} {steps[1]:,.0f}: they may not cover the same work"
        )
    of: dict[str, dict[str, None]] = {}  # by warning of a recording, the sides that it is of
    for side in (base, other):
        for warning in (w for s in side.samples for w in s.warnings):
            of.setdefault(warning, {})[side.letter] = None
    return (*said, *(f"{' and '.join(letters)}: {warning}" for warning, letters in of.items()))
