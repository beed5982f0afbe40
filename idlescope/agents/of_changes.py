"""What an agent is told of changes: predictions, comparisons, limits; and of words."""

from __future__ import annotations

from collections.abc import Sequence

from idlescope.agents.answers import (
    CannotTell,
    ChangeAnswer,
    CheckAnswer,
    CompareAnswer,
    ExplainAnswer,
    OutcomeAnswer,
    PredictAnswer,
    PredictedDevice,
)
from idlescope.agents.asked import asked_analysis
from idlescope.agents.bounded import (
    MOST_DEVICES,
    MOST_PARTS,
    MOST_WARNINGS,
    ms,
    name_text,
    refusal,
    sentence,
)
from idlescope.agents.memory import Choice, Memory
from idlescope.agents.questions import (
    CheckQuestion,
    CompareQuestion,
    ExplainQuestion,
    PredictQuestion,
)
from idlescope.agents.roots import Roots
from idlescope.analysis.comparison.change import Change, ComparisonKind, Side
from idlescope.analysis.comparison.checks import Check, examine
from idlescope.analysis.comparison.compare import of_sides
from idlescope.analysis.comparison.documents import CheckDocument
from idlescope.analysis.comparison.limits import Limits
from idlescope.analysis.explain.words import explained
from idlescope.analysis.no_device import no_device
from idlescope.analysis.prediction.outcome import Outcome
from idlescope.analysis.prediction.predict_device import predict_device
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.prediction.what_if import WhatIf
from idlescope.errors import TraceError

MOST_CHECKS = 40


def predict(memory: Memory, roots: Roots, question: PredictQuestion) -> PredictAnswer:
    """Return what the steps would take otherwise."""
    change = WhatIf(
        depth=question.depth,
        host=question.host,
        device=question.device_time,
        graphs=question.graphs,
        pinned=question.pinned,
        without=question.without,
    )
    analysis = asked_analysis(memory, roots, question)
    devices: list[PredictedDevice] = []
    reasons = [] if analysis.results else [no_device(analysis.trace)]
    for result in analysis.results[:MOST_DEVICES]:
        try:
            devices.append(_predicted(predict_device(result.view.trace, result, change)))
        except TraceError as error:
            reasons.append(str(error))
    return PredictAnswer(
        devices=devices,
        devices_left_out=max(len(analysis.results) - MOST_DEVICES, 0),
        cannot_tell=refusal("; ".join(reasons)) if reasons else None,
    )


def _predicted(prediction: Prediction) -> PredictedDevice:
    device = prediction.result.device

    def outcome(case: Outcome) -> OutcomeAnswer:
        rate = case.tokens_per_s
        return OutcomeAnswer(
            step_ms=ms(case.step_ns),
            saves_pct=round(100 * case.less_than(prediction.recorded), 3),
            compute_idle_pct=round(case.compute_idle_pct, 4),
            tokens_per_s=None if rate is None else round(rate, 1),
        )

    return PredictedDevice(
        process=name_text(device.process_name),
        device=device.index,
        says=sentence(prediction.text()),
        change=name_text(prediction.what.text()),
        recorded=outcome(prediction.recorded),
        predicted=outcome(prediction.predicted),
        host_free=outcome(prediction.bound),
        further={
            name_text(lever.name): outcome(lever.predicted) for lever in prediction.levers
        },
    )


def compare(memory: Memory, roots: Roots, question: CompareQuestion) -> CompareAnswer:
    """Return what changed from one side to another."""
    choice = Choice(question.window, None)
    base, other = (
        Side(
            letter,
            tuple(
                memory.breakdown(roots.allowed(path), question.mode, choice)
                for path in paths
            ),
        )
        for letter, paths in (("A", question.base), ("B", question.other))
    )
    comparison = of_sides(base, other, question.per)
    parts = [_change(part) for part in comparison.parts]
    told = comparison.verdict.kind != ComparisonKind.CANNOT_TELL
    return CompareAnswer(
        verdict=str(comparison.verdict.kind),
        says=sentence(comparison.verdict.text),
        per=str(comparison.unit),
        headline=_change(comparison.headline),
        parts=parts[:MOST_PARTS],
        parts_left_out=round(sum(part.change for part in parts[MOST_PARTS:]), 3),
        warnings=[sentence(warning) for warning in comparison.warnings[:MOST_WARNINGS]],
        cannot_tell=None if told else refusal(comparison.verdict.text),
    )


def _change(change: Change) -> ChangeAnswer:
    return ChangeAnswer(
        name=name_text(change.name),
        base=round(change.base, 3),
        other=round(change.other, 3),
        change=round(change.change, 3),
        more_than_noise=change.different,
    )


def check(memory: Memory, roots: Roots, question: CheckQuestion) -> CheckAnswer:
    """Return whether limits hold; what cannot be told does not."""
    limits = Limits.of(
        max_idle=question.max_idle,
        max_idle_ms_per_step=question.max_idle_ms_per_step,
        max_exposed_communication=question.max_exposed_communication,
        max_waiting=question.max_waiting,
        min_coverage=question.min_coverage,
        max_regression=question.max_regression,
    )
    choice = Choice(question.window, question.step_ms)
    against = [
        memory.breakdown(roots.allowed(path), question.mode, choice)
        for path in question.against
    ]
    path = roots.allowed(question.trace)
    analysis = memory.analysis(path, question.mode, choice)
    checks = examine(
        analysis,
        limits,
        against,
        breakdown_of=lambda _: memory.breakdown(path, question.mode, choice),
    )
    shown = sorted(checks, key=lambda limit_check: limit_check.holds)[:MOST_CHECKS]
    return CheckAnswer(
        holds=all(limit_check.holds for limit_check in checks),
        checks=[_check_document(limit_check) for limit_check in shown],
        checks_left_out=len(checks) - len(shown),
        cannot_tell=_not_told(checks),
    )


def _check_document(limit_check: Check) -> CheckDocument:
    document = limit_check.document()
    document.subject, document.says = name_text(document.subject), sentence(document.says)
    return document


def _not_told(checks: Sequence[Check]) -> CannotTell | None:
    """Return the first limit that the trace cannot tell anything of."""
    for limit_check in checks:
        if not limit_check.holds and not limit_check.found and limit_check.allowed:
            return refusal(limit_check.says)
    return None


def explain(memory: Memory, roots: Roots, question: ExplainQuestion) -> ExplainAnswer:
    """Return what a word means."""
    return ExplainAnswer(explained(question.word))
