"""Hold a trace to limits: each is kept or broken, in a sentence; one that cannot be checked is broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from idlescope.analysis.analyze import analyze, no_device
from idlescope.analysis.comparison.blocks import Sample, of_analysis
from idlescope.analysis.comparison.change import Comparison, Side
from idlescope.analysis.comparison.compare import Source, of_sides, read, refuse_choice
from idlescope.analysis.intervals import percent
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.verdict.coverage import Coverage
from idlescope.analysis.verdict.verdict import CANNOT_TELL
from idlescope.errors import ConfigError, TraceError
from idlescope.trace import run_folder
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace

SCHEMA = 1
_NUMBER = re.compile(r"^(\d+(?:\.\d+)?)\s*(%?)$")


@dataclass(frozen=True)
class Limits:
    """What a trace must keep to; None where it need not. Made by `of` from texts such as "5%"."""

    max_idle: float | None = None  # % of the window
    max_idle_ms_per_step: float | None = None
    min_coverage: float | None = None  # %, as `covered_pct` says
    max_regression: float | None = None  # % of the base's time a step, or a token

    @classmethod
    def of(cls, **limits: float | str | None) -> Limits:
        """Return limits given as numbers or texts. Raises ConfigError for a limit that there is not, or no number."""
        known = [f.name for f in fields(cls)]
        for name in limits:
            if name not in known:
                raise ConfigError(f"{name} is no limit: give {', '.join(known)}")
        return cls(
            **{name: _number(name, value) for name, value in limits.items() if value is not None}
        )

    def given(self) -> bool:
        """Return whether there is any limit."""
        return any(value is not None for value in asdict(self).values())


def _number(name: str, value: float | str) -> float:
    milliseconds = name.endswith("_ms_per_step")
    if isinstance(value, (int, float)) and 0 <= value < float("inf"):
        return float(value)
    found = _NUMBER.match(str(value).strip())
    if not found or (milliseconds and found[2]):
        form = "a number of milliseconds, as in 0.3" if milliseconds else "per cent, as in 5%"
        raise ConfigError(f"{option(name)} {value}: give {form}")
    return float(found[1])


def option(name: str) -> str:
    """Return a limit as the command line calls it."""
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Check:
    """One limit held against one device, or one recording."""

    limit: str  # as in Limits
    subject: str  # what was looked at
    holds: bool
    says: str  # one sentence
    doubtful: bool = False  # it holds, but noise does not rule out that it does not

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        return asdict(self)


def examine(
    trace: Source, limits: Limits, against: Sequence[Source] = (), *, mode: str | None = None,
    progress: Callable[[int], None] | None = None, **options: Any,
) -> list[Check]:  # fmt: skip
    """Hold a trace, or each recording of a folder of `idlescope run`, to limits.

    `against` is what regressions are measured from: one recording, or several of one configuration; of a folder of
    `idlescope run`, the recording of the same mode. `options` are those of `analyze`. Raises ConfigError, TraceError.
    """
    if not limits.given():
        raise ConfigError(
            f"nothing to check: give {', '.join(option(f.name) for f in fields(Limits))}"
        )
    if (limits.max_regression is None) != (not against):
        raise ConfigError(
            "a regression is measured against something: give --max-regression and --against together"
        )
    if isinstance(trace, Sample):
        raise ConfigError("a Sample cannot be checked: give the Analysis that it was made of")
    if isinstance(trace, (Trace, Analysis)):
        return _examine(trace, "", limits, against, mode, options)
    path = Path(trace)
    found = run_folder.recordings(path)
    chosen = {mode: run_folder.recording(path, mode)} if mode is not None or not found else found
    checks = []
    for name, recording in chosen.items():
        opened = open_trace(recording, progress)
        checks += _examine(
            opened, f"{name}, " if found and name else "", limits, against, name, options
        )
    return checks


def _examine(
    trace: Trace | Analysis, prefix: str, limits: Limits, against: Sequence[Source], mode: str | None,
    options: dict[str, Any],
) -> list[Check]:  # fmt: skip
    if isinstance(trace, Analysis):
        refuse_choice(trace.source["path"], options)
    analysis = trace if isinstance(trace, Analysis) else analyze(trace, **options)
    if not analysis.results:
        raise TraceError(no_device(analysis.trace))
    checks = [c for device in analysis.results for c in _device(device, prefix, limits)]
    if limits.max_regression is not None:
        base = tuple(read(source, mode=mode, **options) for source in against)
        compared = of_sides(Side("the base", base), Side("the trace", (of_analysis(analysis),)))
        checks.append(
            _regression(compared, f"{prefix}{analysis.source['path']}", limits.max_regression)
        )
    return checks


def _device(device: DeviceResult, prefix: str, limits: Limits) -> list[Check]:
    """Return the checks of one device."""
    subject = f"{prefix}device {device.device.index} {device.device.name}".rstrip()
    unknown = device.verdict.text if device.verdict.kind == CANNOT_TELL else None
    steps = len(device.steps)
    checks = []

    def at_most(limit: str, value: float | None, unit: str, what: str, missing: str | None) -> None:
        bound = getattr(limits, limit)
        if bound is None:
            return
        if missing is not None or value is None:
            checks.append(
                Check(limit, subject, False, f"{subject}: {what} cannot be told. {missing}")
            )
            return
        holds = value <= bound
        than = "within" if holds else "more than"
        says = f"{subject}: {what} is {value:.6g} {unit}, {than} the {bound:g} {unit} allowed"
        checks.append(Check(limit, subject, holds, says))

    at_most("max_idle", device.idle_pct, "%", "idle", unknown)
    no_steps = None if steps else "No steps are known: see --phases."
    per_step = device.occupancy.idle_ns / steps / 1e6 if steps else None
    at_most("max_idle_ms_per_step", per_step, "ms", "idle a step", unknown or no_steps)
    if limits.min_coverage is not None:
        covered = covered_pct(device.coverage, len(device.operations))
        holds = unknown is None and covered >= limits.min_coverage
        says = f"{subject}: coverage is {covered:.4g} %, {limits.min_coverage:g} % are asked for"
        if unknown is not None:
            says = f"{subject}: no verdict can be given on the trace. {unknown}"
        checks.append(Check("min_coverage", subject, holds, says))
    return checks


def covered_pct(coverage: Coverage, operations: int) -> float:
    """Return how much of what happened the trace holds, in per cent: the smallest of three shares.

    They are those of operations with a known launch (what was in flight when the recording began is not counted), of
    graph launches with operations under them, and of launches whose operations were not lost.
    """
    c = coverage
    counted = operations - c.in_flight_at_start
    linked = round(c.linked_pct * operations / 100)
    graphs = percent(c.graph_launches - c.graph_launches_without_operations, c.graph_launches)
    launches = percent(c.launches - c.launches_lost, c.launches)
    return min(
        percent(linked, counted),
        graphs if c.graph_launches else 100.0,
        launches if c.launches else 100.0,
    )


def _regression(compared: Comparison, subject: str, bound: float) -> Check:
    """Return whether a trace takes no longer a step, or a token, than its base, by more than a bound in per cent."""
    h, limit = compared.headline, "max_regression"
    for side in (compared.base, compared.other):
        if side.doubts:
            says = f"{subject}: a regression cannot be told, {side.letter} cannot be trusted. {side.doubts[0]}"
            return Check(limit, subject, False, says)
    if compared.unit == "window" or h.percent is None:
        says = f"{subject}: a regression cannot be told, since steps are not known on both sides: see --phases"
        return Check(limit, subject, False, says)
    says = f"{subject} takes as long a {compared.unit} as its base"
    if h.change:
        longer = f"{abs(h.percent):.2f} % {'longer' if h.change > 0 else 'less'}"
        says = f"{subject} takes {longer} a {compared.unit} than its base"
    if h.margin is None:
        holds = h.percent <= bound
        noise = "what noise there is, is not known"
    else:
        noise = f"noise is {100 * h.margin / h.base:.2f} %"
        holds = h.percent <= bound or abs(h.change) <= h.margin
    if len({side.samples[0].modelled for side in (compared.base, compared.other)}) > 1:
        noise += "; one of them is modelled and the other measured"
    doubtful = holds and (h.margin is None or h.change + h.margin > bound / 100 * h.base)
    allowed = f"{bound:g} % {'are' if holds and h.percent <= bound else 'were'} allowed"
    return Check(limit, subject, holds, f"{says}, {allowed}; {noise}", doubtful)
