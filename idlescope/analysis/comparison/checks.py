"""Hold a trace to limits: each is kept or broken, in a sentence; what cannot be told is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from idlescope.analysis.analyze import analyze
from idlescope.analysis.comparison.blocks import of_analysis
from idlescope.analysis.comparison.breakdown import Breakdown
from idlescope.analysis.comparison.change import Change, Comparison, Side
from idlescope.analysis.comparison.compare import of_sides
from idlescope.analysis.comparison.documents import CheckDocument
from idlescope.analysis.comparison.limits import Limits, option
from idlescope.analysis.comparison.read import Source, read, refuse_choice
from idlescope.analysis.comparison.unit import Unit
from idlescope.analysis.idle.of_steps import between_pct
from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.no_device import no_device
from idlescope.analysis.ranks.group_kind import GroupKind
from idlescope.analysis.ranks.verdict import judge
from idlescope.analysis.result import Analysis
from idlescope.analysis.verdict.coverage import Coverage
from idlescope.analysis.verdict.findings import CANNOT_TELL
from idlescope.errors import ConfigError, TraceError
from idlescope.trace import run_folder
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace


@dataclass(frozen=True)
class Check:
    """One limit held against one device, or one recording."""

    limit: str  # as in Limits
    subject: str  # what was looked at
    holds: bool
    says: str  # one sentence
    doubtful: bool = False  # it holds, but noise does not rule out that it does not
    found: str = ""  # the figure with its unit; empty where it cannot be told
    allowed: str = ""  # the limit's, the same

    def document(self) -> CheckDocument:
        """Return the check as it is written to JSON."""
        return CheckDocument(**asdict(self))

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Task:
    """What is held against each recording."""

    limits: Limits
    against: Sequence[Source]
    options: dict[str, Any]  # of `analyze`
    breakdown_of: Callable[[Analysis], Breakdown]
    seen: Callable[[str, Analysis], None] | None


def examine(
    trace: Source,
    limits: Limits,
    against: Sequence[Source] = (),
    *,
    mode: str | None = None,
    progress: Callable[[int], None] | None = None,
    breakdown_of: Callable[[Analysis], Breakdown] = of_analysis,
    seen: Callable[[str, Analysis], None] | None = None,
    **options: Any,
) -> list[Check]:
    """Hold a trace, or each recording of a folder of `idlescope run`, to limits.

    `against` is what regressions are measured from: one recording, or several of one configuration;
    of a folder of `idlescope run`, the recording of the same mode. `options` are those of
    `analyze`. `breakdown_of` makes of an analysis what regressions are measured by: one who has it
    already gives it. `seen` is called with each recording's analysis and with what its subjects
    begin with; with it, limits need not be given. Raises ConfigError, TraceError.
    """
    if not limits.given() and seen is None:
        options_known = ", ".join(option(field.name) for field in fields(Limits))
        raise ConfigError(f"nothing to check: give {options_known}")
    if (limits.max_regression is None) != (not against):
        raise ConfigError(
            "a regression is measured against something: give --max-regression and --against "
            "together"
        )
    if isinstance(trace, Breakdown):
        raise ConfigError(
            "a Breakdown cannot be checked: give the Analysis that it was made of"
        )
    task = _Task(limits, against, options, breakdown_of, seen)
    if isinstance(trace, Analysis):
        refuse_choice(trace.source["path"], options)
        return _examine(trace, "", task, mode)
    if isinstance(trace, Trace):
        return _examine(analyze(trace, **options), "", task, mode)
    path = Path(trace)
    run_folder.refuse_mode(path, mode)
    recordings = run_folder.recordings(path)
    chosen: list[tuple[str | None, Path]] = [*recordings.items()]
    if mode is not None or not recordings:
        chosen = [(mode, run_folder.recording(path, mode))]
    checks = []
    for name, recording in chosen:
        prefix = f"{name}, " if recordings and name else ""
        opened = open_trace(recording, progress)
        checks += _examine(analyze(opened, **options), prefix, task, name)
    return checks


def covered_pct(coverage: Coverage, operations: int) -> float:
    """Return how much of what happened the trace holds, in per cent: the smallest of three shares.

    They are those of operations with a known launch (what was in flight when the recording began is
    not counted), of graph launches with operations under them, and of launches whose operations
    were not lost.
    """
    linked = round(coverage.linked_pct * operations / 100)
    counted = operations - coverage.in_flight_at_start
    shares = [percent(linked, counted)]
    if coverage.graph_launches:
        graphs = coverage.graph_launches
        shares.append(percent(graphs - coverage.graph_launches_without_operations, graphs))
    if coverage.launches:
        kept = coverage.launches - coverage.launches_lost
        shares.append(percent(kept, coverage.launches))
    return min(shares)


def _examine(analysis: Analysis, prefix: str, task: _Task, mode: str | None) -> list[Check]:
    """Return the checks of one recording; `prefix` is what its subjects begin with."""
    if not analysis.results:
        raise TraceError(no_device(analysis.trace))
    if task.seen is not None:
        task.seen(prefix, analysis)
    checks = []
    for device in analysis.results:
        checks += _check_device(device, prefix, task.limits)
    if task.limits.max_waiting is not None:
        checks += _waiting(analysis, prefix, task.limits.max_waiting)
    if task.limits.max_regression is not None:
        base = tuple(read(source, mode=mode, **task.options) for source in task.against)
        trace = task.breakdown_of(analysis)
        comparison = of_sides(Side("the base", base), Side("the trace", (trace,)))
        subject = f"{prefix}{analysis.source['path']}"
        checks.append(_regression(comparison, subject, task.limits.max_regression))
    return checks


def subject_of(device: MeasuredDevice, prefix: str) -> str:
    """Return what a device is called in sentences; `prefix` is what its recording is called."""
    process = device.device.process_name
    rank = f"{process}, " if process.startswith("rank ") else ""
    return f"{prefix}{rank}device {device.device.index} {device.device.name}".rstrip()


def _check_device(device: MeasuredDevice, prefix: str, limits: Limits) -> list[Check]:
    """Return the checks of one device."""
    subject = subject_of(device, prefix)
    unknown = device.verdict.text if device.verdict.kind == CANNOT_TELL else None
    checks = []

    def at_most(
        limit: str, value: float, unit: str, figure: str, missing: str | None
    ) -> None:
        allowed = getattr(limits, limit)
        if allowed is None:
            return
        if missing is not None:
            says = f"{subject}: {figure} cannot be told. {missing}"
            allowed_text = f"{allowed:g} {unit}"
            checks.append(Check(limit, subject, False, says, allowed=allowed_text))
            return
        holds = value <= allowed
        than = "within" if holds else "more than"
        says = f"{subject}: {figure} is {value:.6g} {unit}, {than} the {allowed:g} {unit} allowed"
        found = f"{value:.3g} {unit}"
        allowed_text = f"{allowed:g} {unit}"
        checks.append(Check(limit, subject, holds, says, False, found, allowed_text))

    bounds = device.doubts.bounds
    doubt = None
    if limits.max_idle is not None and bounds.crosses(limits.max_idle):
        doubt = f"It is {bounds.text} of the time.{bounds.reasons}"
    idle = f"idle{_counted_in(device)}"
    at_most("max_idle", device.idle_pct, "%", idle, unknown or doubt)
    part, per_step_ns = device.judged_part, device.idle_per_step_ns
    no_steps = "No steps are known: see --phases." if per_step_ns is None else None
    doubt = None
    if limits.max_idle_ms_per_step is not None and per_step_ns is not None:
        bounds = part.doubts.bounds
        allowed_ns = limits.max_idle_ms_per_step * len(part.steps) * 1e6
        # The bounds are of all idle time, also of what is no cost of a step.
        apart_ns = part.occupancy.idle_ns - per_step_ns * len(part.steps)
        if bounds.crosses(percent(round(allowed_ns + apart_ns), bounds.window_ns)):
            doubt = f"Idle is {bounds.text} of the time.{bounds.reasons}"
    missing = unknown or no_steps or doubt
    idle_ms = (per_step_ns or 0.0) / 1e6
    figure = f"idle per step{_left_out(part)}"
    at_most("max_idle_ms_per_step", idle_ms, "ms", figure, missing)
    exposed_pct = device.communication.exposed_pct
    at_most("max_exposed_communication", exposed_pct, "%", "exposed communication", unknown)
    if limits.min_coverage is not None:
        checks.append(_coverage(device, subject, limits.min_coverage, unknown))
    return checks


def _counted_in(device: MeasuredDevice) -> str:
    """Return what idle is without what is no cost of a step, in brackets; empty where it is all."""
    if not device.spread.apart_ns:
        return ""
    between = between_pct(device.occupancy, device.spread)
    return f" (with pauses and for want of requests; without them {between:.3g} %)"


def _left_out(device: MeasuredDevice) -> str:
    """Return what idle per step leaves out, in brackets; empty where there is none."""
    apart_ms = device.spread.apart_ns / 1e6
    if not apart_ms:
        return ""
    return f" (without {apart_ms:,.1f} ms of pauses and for want of requests)"


def _waiting(analysis: Analysis, prefix: str, allowed: float) -> list[Check]:
    """Return a check of each rank: how long it only waits for others."""
    limit, group = "max_waiting", analysis.group
    if group is None or not group.communicates:
        subject = f"{prefix}{analysis.source['path']}"
        why = "it is of one device" if group is None else "no collectives were matched"
        says = f"{subject}: waiting for other ranks cannot be told, {why}: give all ranks' traces"
        return [Check(limit, subject, False, says, allowed=f"{allowed:g} %")]
    verdict = judge(group)
    if (
        verdict.kind == GroupKind.CANNOT_TELL
    ):  # as where the one that they wait for is not here
        subject = f"{prefix}{analysis.source['path']}"
        says = f"{subject}: {verdict.text}"
        return [Check(limit, subject, False, says, allowed=f"{allowed:g} %")]
    checks = []
    for rank, waiting_pct in zip(group.ranks, group.waiting_pct, strict=True):
        subject = f"{prefix}{rank.label}"
        holds = waiting_pct <= allowed
        than = "within" if holds else "more than"
        says = f"{subject}: waits for other ranks for {waiting_pct:.6g} %, {than} the {allowed:g} %"
        found = f"{waiting_pct:.3g} %"
        says = f"{says} allowed"
        checks.append(Check(limit, subject, holds, says, False, found, f"{allowed:g} %"))
    return checks


def _coverage(
    device: MeasuredDevice, subject: str, least: float, unknown: str | None
) -> Check:
    covered = covered_pct(device.coverage, device.operations_inside)
    holds = unknown is None and covered >= least
    says = f"{subject}: coverage is {covered:.4g} %, {least:g} % are asked for"
    if unknown is not None:
        says = f"{subject}: no verdict can be given on the trace. {unknown}"
    found, allowed = f"{covered:.4g} %", f"{least:g} %"
    return Check("min_coverage", subject, holds, says, False, found, allowed)


def _regression(comparison: Comparison, subject: str, allowed: float) -> Check:
    """Return whether a trace takes no longer per step, or per token, than allowed, in per cent."""
    limit = "max_regression"
    unknown = _why_no_regression(comparison)
    if unknown is not None:
        says = f"{subject}: a regression cannot be told, {unknown}"
        return Check(limit, subject, False, says, allowed=f"{allowed:g} %")
    headline = comparison.headline
    longer_pct = headline.percent or 0.0
    within = longer_pct <= allowed
    holds = within
    doubtful = True
    noise = "what noise there is, is not known"
    if headline.margin is not None:
        noise = f"noise is {100 * headline.margin / headline.base:.2f} %"
        holds = within or abs(headline.change) <= headline.margin
        doubtful = headline.change + headline.margin > allowed / 100 * headline.base
    if comparison.base.first.modelled != comparison.other.first.modelled:
        noise += "; one of them is modelled and the other measured"
    were = "are" if within else "were"
    says = f"{_longer(subject, headline, comparison.unit)}, {allowed:g} % {were} allowed; {noise}"
    found, allowed_text = f"{longer_pct:+.2f} %", f"{allowed:g} %"
    return Check(limit, subject, holds, says, holds and doubtful, found, allowed_text)


def _why_no_regression(comparison: Comparison) -> str | None:
    for side in (comparison.base, comparison.other):
        if side.doubts:
            return f"{side.letter} cannot be trusted. {side.doubts[0]}"
    if comparison.unit == Unit.WINDOW or comparison.headline.percent is None:
        return "since steps are not known on both sides: see --phases"
    return None


def _longer(subject: str, headline: Change, unit: Unit) -> str:
    if not headline.change:
        return f"{subject} takes as long per {unit} as its base"
    longer = "longer" if headline.change > 0 else "less"
    percent_changed = abs(headline.percent or 0.0)
    return f"{subject} takes {percent_changed:.2f} % {longer} per {unit} than its base"
