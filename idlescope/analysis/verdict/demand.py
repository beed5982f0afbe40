"""Verdicts on idle time that is no cost of each step: no requests, or a few pauses."""

from __future__ import annotations

from idlescope.analysis.idle import host_time
from idlescope.analysis.idle.concentration import (
    NOTHING_RECORDED,
    Concentration,
    Spread,
)
from idlescope.analysis.intervals import percent
from idlescope.analysis.steps.find import PROFILER_STEPS
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.verdict.findings import (
    BUSY_IDLE_PCT,
    MOSTLY_PCT,
    Findings,
    Verdict,
    VerdictKind,
)

# A collection, or a wait for a core, does not last so long; the longest seen was 0.4 s
# (sglang#30596).
SILENT_NS = 2_000_000_000
# What to say of pauses that are due to another cause than the host.
_NOT_THE_HOST = {
    "queued": (
        "The work had been issued and waited in a stream, on an event or inside a graph: look at "
        "what it waited for."
    ),
    "unattributed": (
        "No launch was recorded for the work that ended it, so why cannot be told: record the "
        "calls that launch, from before the work on."
    ),
}
WORTH_A_WORD_PCT = 1.0  # of idle that is no cost of a step


def no_demand(findings: Findings) -> Verdict | None:
    """Return the verdict on a device that had little to do; None where that is not so."""
    text = _dummies(findings) or _starved(findings)
    return None if text is None else Verdict(VerdictKind.NO_DEMAND, text)


def _dummies(findings: Findings) -> str | None:
    """Return what to say of a device most of whose time goes to batches of no request."""
    active_ns = findings.occupancy.active_ns
    dummy_pct = percent(findings.empty_device_ns, active_ns)
    if dummy_pct < MOSTLY_PCT:
        return None
    dummies = int((findings.empty.operations > 0).sum())
    forwards = dummies + len(findings.steps)
    useful = "no useful work"
    if len(findings.steps):
        useful = f"useful work for {100 - dummy_pct:.0f} % of its active time"
    return (
        f"No demand: {dummies:,} of {forwards:,} forward passes are dummy batches of no request, "
        f"so the device, {findings.idle_text} idle, does {useful}. A data-parallel rank "
        "without requests runs them for the collectives of the others: send it requests, or serve "
        "with fewer ranks."
    )


def _starved(findings: Findings) -> str | None:
    """Return what to say of a device that is idle for want of work."""
    spread, idle_pct = findings.spread, findings.idle_pct
    if spread.kind != Spread.NO_DEMAND or idle_pct < BUSY_IDLE_PCT:
        return None
    of_idle_pct = percent(spread.no_demand_ns, findings.occupancy.idle_ns)
    unscheduled = int((findings.empty.operations == 0).sum())
    loops = len(findings.empty) + len(findings.steps)
    if unscheduled:
        why = f"while {unscheduled:,} of {loops:,} iterations of the engine scheduled no token"
        todo = (
            "There was no request, or none could have KV cache: send more at a time, or give the "
            "cache more memory"
        )
    elif spread.no_demand_gaps:
        mean_ns = spread.no_demand_ns // spread.no_demand_gaps
        why = (
            f"in {_gaps(spread.no_demand_gaps)} of {_lasting(mean_ns)} in which the host did "
            "nothing that was recorded"
        )
        todo = "There was no request: send more at a time, or serve with fewer GPUs"
    else:
        why = "while the engine says that it had no request"
        todo = "Send more requests at a time, or serve with fewer GPUs"
    return (
        f"No demand: the device is idle {findings.idle_text} of the time, {of_idle_pct:.0f} % of "
        f"that {why}. {todo}; while it has work it is {_between(findings)}."
    )


def pauses(findings: Findings, batching: str) -> str | None:
    """Return what to say of a device whose idle time stands in a few pauses; None: it does not.

    `batching` is the batching as the end of a sentence.
    """
    spread, steps = findings.spread, len(findings.steps)
    if spread.kind != Spread.PAUSES or findings.idle_pct < BUSY_IDLE_PCT:
        return None
    held_pct = percent(spread.pauses_ns, findings.occupancy.idle_ns)
    in_steps = "one step" if steps == 1 else f"{steps:,} steps"
    return (
        f"The device is idle {findings.idle_text} of the time, {held_pct:.1f} % of that in "
        f"{_pauses(spread)} in {in_steps}; between them it is "
        f"{_between(findings)}{batching}. {_pause_advice(findings)}"
    )


def apart(findings: Findings) -> str:
    """Return how much of idle is no cost of each step; empty where that is little."""
    spread, idle_ns = findings.spread, findings.occupancy.idle_ns
    paused_pct = percent(spread.pauses_ns, idle_ns)
    wanting_pct = percent(spread.no_demand_ns, idle_ns)
    said = []
    if paused_pct >= WORTH_A_WORD_PCT:
        said.append(f"{paused_pct:.0f} % of that in {_pauses(spread)}")
    if wanting_pct >= WORTH_A_WORD_PCT:
        said.append(f"{wanting_pct:.0f} % of that for want of requests")
    return ", ".join(said)


def _pauses(spread: Concentration) -> str:
    count = "one pause" if spread.pauses == 1 else f"{spread.pauses:,} pauses"
    return f"{count} of {_lasting(spread.pause_ns)}"


def recorder_was_off(spread: Concentration, steps: Steps) -> bool:
    """Return whether what recorded was off in most of the pauses, as far as can be told.

    torch.profiler's spans of steps follow one another for as long as it is on.
    """
    if spread.kind != Spread.PAUSES or spread.doing != NOTHING_RECORDED:
        return False
    return steps.found == PROFILER_STEPS or spread.longest_pause_ns >= SILENT_NS


def _pause_advice(findings: Findings) -> str:
    """Return what pauses are and what to do about them."""
    doing = findings.spread.doing
    if doing == host_time.COLLECTION:
        return "The host collected garbage: freeze what lives on (gc.freeze()), or collect less."
    if doing.startswith("launch: "):
        call = doing.removeprefix("launch: ")
        return (
            f"The host was in {call}, which loads modules or allocates when it is first called: "
            "warm up before recording, or leave it out with --window."
        )
    if doing in _NOT_THE_HOST:
        return _NOT_THE_HOST[doing]
    if recorder_was_off(findings.spread, findings.steps):
        return (
            "Nothing of the host was recorded for so long: it did what makes no calls of CUDA "
            "(compiling, loading), the profiler was off meanwhile, the file holds two recordings, "
            "or its clock jumped; look at one part alone (--window time:A-B)."
        )
    if doing == NOTHING_RECORDED or findings.spread.is_inside_span:
        return _unseen(findings)
    return f"The host was in {doing}: no step needs that, so look for what called it."


def _unseen(findings: Findings) -> str:
    """Return what pauses are of which the recording shows no more than the span around them."""
    doing = findings.spread.doing
    likely = "likely garbage collection or descheduling"
    advice = (
        "record with Python frames, freeze the collector (gc.freeze()), or give the process cores "
        "of its own"
    )
    if doing == NOTHING_RECORDED:
        return f"The host did nothing that was recorded: {likely}; {advice}."
    if findings.watched:
        return (
            f"The host was in {doing}, of which a watch takes down no more, and collected no "
            "garbage: it compiled or loaded, as where a server starts up, or was descheduled; "
            "record with Python frames, or give the process cores of its own."
        )
    return f"The host was in {doing} with nothing in it: {likely}; {advice}."


def _gaps(count: int) -> str:
    return "one gap" if count == 1 else f"{count:,} gaps"


def _lasting(ns: int) -> str:
    """Return a length of time in ms, or in s where it is long."""
    # What rounds to a second is one.
    return f"{ns / 1e9:,.3g} s" if ns >= 999_500_000 else f"{ns / 1e6:,.3g} ms"


def _between(findings: Findings) -> str:
    """Return how idle the device is where it has work and no pause."""
    between_pct = findings.idle_between_pct
    busy = "busy, " if between_pct < BUSY_IDLE_PCT else ""
    return f"{busy}{between_pct:.2f} % idle"
