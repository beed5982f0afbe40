"""What an agent is told of one trace: devices, gaps and steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idlescope.agents.answers import (
    AnalyzeAnswer,
    DeviceAnswer,
    GapAnswer,
    GapsAnswer,
    StepAnswer,
    StepKindAnswer,
    StepsAnswer,
)
from idlescope.agents.asked import asked_analysis, asked_device
from idlescope.agents.bounded import (
    MOST_DEVICES,
    MOST_WARNINGS,
    largest_ms,
    ms,
    name_text,
    refusal,
    sentence,
    stack_texts,
)
from idlescope.agents.memory import Memory
from idlescope.agents.questions import AnalyzeQuestion, GapsQuestion, StepsQuestion
from idlescope.agents.roots import Roots
from idlescope.analysis.idle import stacks
from idlescope.analysis.idle.causes import CAUSES, Gaps
from idlescope.analysis.idle.stacks import LongGap
from idlescope.analysis.intervals import percent
from idlescope.analysis.no_device import no_device
from idlescope.analysis.ranks import verdict as ranks_verdict
from idlescope.analysis.result import DeviceResult
from idlescope.analysis.steps.by_kind import by_kind
from idlescope.analysis.steps.step_kind import STEP_KINDS
from idlescope.analysis.verdict.findings import CANNOT_TELL
from idlescope.errors import ConfigError

ORDERS = ("idle", "length", "time")


def analyze(memory: Memory, roots: Roots, question: AnalyzeQuestion) -> AnalyzeAnswer:
    """Return how idle each device is, and why."""
    analysis = asked_analysis(memory, roots, question)
    results = [
        result
        for result in analysis.results
        if question.device in (None, result.device.index)
    ]
    if analysis.results and not results:
        asked_device(analysis, question.device)
    devices = [device_answer(result) for result in results[:MOST_DEVICES]]
    refusals = [device.cannot_tell for device in devices if device.cannot_tell is not None]
    if not analysis.results:
        refusals = [refusal(no_device(analysis.trace))]
    group = analysis.group
    return AnalyzeAnswer(
        trace=str(analysis.source["path"]),
        format=str(analysis.source["format"]),
        events=int(analysis.source["events"]),
        engine=analysis.engine or None,
        devices=devices,
        devices_left_out=max(len(results) - MOST_DEVICES, 0),
        ranks=None if group is None else sentence(ranks_verdict.judge(group).text),
        warnings=[sentence(warning) for warning in analysis.warnings[:MOST_WARNINGS]],
        cannot_tell=refusals[0] if refusals and len(refusals) >= len(devices) else None,
    )


def device_answer(result: DeviceResult) -> DeviceAnswer:
    """Return how idle one device is, and why."""
    occupancy, bounds = result.occupancy, result.doubts.bounds
    steps, per_step_ns = len(result.steps), result.idle_per_step_ns
    host = largest_ms(result.host_ns)
    told = result.verdict.kind != CANNOT_TELL
    return DeviceAnswer(
        process=name_text(result.device.process_name),
        device=result.device.index,
        name=name_text(result.device.name),
        verdict=str(result.verdict.kind),
        says=sentence(result.verdict.text),
        window_ms=ms(occupancy.window_ns),
        idle_pct=round(result.idle_pct, 4),
        idle_low_pct=round(bounds.low_pct, 4),
        idle_high_pct=round(bounds.high_pct, 4),
        compute_idle_pct=round(percent(occupancy.compute_idle_ns, occupancy.window_ns), 4),
        exposed_communication_pct=round(result.communication.exposed_pct, 4),
        steps=steps,
        idle_ms_per_step=None if per_step_ns is None else ms(per_step_ns),
        batching=str(result.batching.kind),
        cause_ms={cause: ms(ns) for cause, ns in result.gaps.totals().items()},
        host_ms=host.shown,
        host_ms_left_out=host.left_out,
        predicted=None if result.prediction is None else sentence(result.prediction.text()),
        cannot_tell=None if told else refusal(result.verdict.text),
    )


def gaps(memory: Memory, roots: Roots, question: GapsQuestion) -> GapsAnswer:
    """Return the longest gaps of one device. Raises ConfigError for a cause that is none."""
    result = asked_device(asked_analysis(memory, roots, question), question.device)
    chosen = result.gaps
    if question.cause is not None:
        if question.cause not in CAUSES:
            raise ConfigError(f"there is no such cause: give one of {', '.join(CAUSES)}")
        chosen = _mostly(chosen, question.cause)
    longest = stacks.longest(result.view, result.step, chosen, question.most)
    told = result.verdict.kind != CANNOT_TELL
    return GapsAnswer(
        process=name_text(result.device.process_name),
        device=result.device.index,
        gaps=len(chosen),
        idle_ms=ms(int(chosen.length.sum())),
        spread=str(result.spread.kind),
        longest=[_gap_answer(gap, result.window.start) for gap in longest],
        cannot_tell=None if told else refusal(result.verdict.text),
    )


def _mostly(gaps: Gaps, cause: str) -> Gaps:
    """Return the gaps that are of one cause for more than half of their length."""
    rows = 2 * getattr(gaps, cause) > gaps.length
    return gaps.take(rows)


def _gap_answer(gap: LongGap, window_start: int) -> GapAnswer:
    return GapAnswer(
        start_ms=ms(gap.start_ns - window_start),
        length_ms=ms(gap.length_ns),
        step=gap.step if gap.step >= 0 else None,
        cause=gap.cause,
        cause_ms={cause: ms(ns) for cause, ns in gap.cause_ns.items()},
        no_demand_ms=ms(gap.no_demand_ns),
        thread=name_text(gap.thread),
        stack=stack_texts(gap.stack),
        ended_by=name_text(gap.ended_by),
    )


def steps(memory: Memory, roots: Roots, question: StepsQuestion) -> StepsAnswer:
    """Return the steps of one device. Raises ConfigError for an order that is none."""
    result = asked_device(asked_analysis(memory, roots, question), question.device)
    rows = _ordered(result, question.order)[: question.most]
    unknown = None
    if not len(result.steps):
        unknown = refusal(
            "No steps are known. Name them (idlescope.range, profiler.step()), or give the spans "
            "of the engine with --phases."
        )
    kinds = [
        StepKindAnswer(
            kind=str(figures.kind),
            steps=figures.steps,
            step_ms=ms(figures.step_ns),
            host_ms=ms(figures.host_ns),
            device_ms=ms(figures.device_ns),
            idle_ms=ms(figures.idle_ns),
        )
        for figures in by_kind(result)
    ]
    return StepsAnswer(
        process=name_text(result.device.process_name),
        device=result.device.index,
        steps=len(result.steps),
        found_by=name_text(result.steps.found),
        kinds=kinds,
        listed=[_step_answer(result, row) for row in rows.tolist()],
        cannot_tell=unknown,
    )


def _ordered(result: DeviceResult, order: str) -> NDArray[np.intp]:
    """Return the rows of the steps in the order asked for."""
    if order not in ORDERS:
        raise ConfigError(f"there is no such order: give one of {', '.join(ORDERS)}")
    steps = result.steps
    worst = {
        "idle": -steps.idle,
        "length": steps.start - steps.end,
        "time": steps.start,
    }
    return np.argsort(worst[order], kind="stable")


def _step_answer(result: DeviceResult, row: int) -> StepAnswer:
    steps = result.steps
    return StepAnswer(
        step=int(steps.number[row]),
        kind=str(STEP_KINDS[steps.kind[row]]),
        start_ms=ms(int(steps.start[row]) - result.window.start),
        step_ms=ms(int(steps.end[row] - steps.start[row])),
        host_ms=ms(int(steps.host[row])),
        device_ms=ms(int(steps.device[row])),
        idle_ms=ms(int(steps.idle[row])),
        launched_early=bool(steps.early[row]),
    )
