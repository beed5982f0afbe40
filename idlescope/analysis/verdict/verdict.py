"""What the figures of one device mean: the first sentence of its verdict, and its kind.

The second sentence, what to do and what that would give, is of `remedy`, which knows the
prediction. The verdict is "cannot tell" where the coverage does not carry one.
"""

from __future__ import annotations

from idlescope.analysis.idle.host_labels import largest_part, phase_of
from idlescope.analysis.idle.of_steps import StepsIdle, all_idle
from idlescope.analysis.intervals import percent
from idlescope.analysis.steps.batching import (
    ASYNCHRONOUS,
    ENOUGH_STEPS,
    SERIALISED,
    SYNCHRONOUS,
)
from idlescope.analysis.verdict import demand
from idlescope.analysis.verdict.findings import (
    BUSY_IDLE_PCT,
    MOSTLY_PCT,
    Findings,
    Verdict,
    VerdictKind,
)
from idlescope.analysis.verdict.refusal import refusal
from idlescope.trace.names.engines import RANK_WAIT

COPY_BOUND_PCT = 25.0  # of the window in which only copies run
COMMUNICATION_BOUND_PCT = 25.0  # of the window in which only communication runs
FILLS = 0.95  # of a step, without the profiler: the device alone decides how long it takes
HIDDEN_PCT = (
    5.0  # of the window in which copies hide that nothing is computed, worth a word
)
READINGS = {
    "host": (VerdictKind.HOST_BOUND, "it ran dry before the host had issued the next work"),
    "launch": (VerdictKind.LAUNCH_BOUND, "it waited for launches to arrive"),
    "queued": (
        VerdictKind.QUEUE_BOUND,
        "the work was issued but waited in a stream, on an event or inside a graph",
    ),
    "unattributed": (
        VerdictKind.CANNOT_TELL,
        "no launch was recorded for the work that ended the gaps",
    ),
}


def judge(findings: Findings) -> Verdict:
    """Return the verdict on one device."""
    # On a shared GPU the host's waits are for the other processes, not for missing records.
    shared = _shared(findings)
    if shared is not None:
        return shared
    refused = _refused(findings)
    if refused is not None:
        return Verdict(VerdictKind.CANNOT_TELL, refused)
    verdict = (
        demand.no_demand(findings)
        or _copy_bound(findings)
        or _communication_bound(findings)
        or _busy(findings)
        or _cold_start(findings)
        or _idle(findings)
    )
    return Verdict(verdict.kind, f"{verdict.text}{_doubt(findings)}")


def _refused(findings: Findings) -> str | None:
    """Return why no verdict can be given; None where one can."""
    bounds, clocks = findings.doubts.bounds, findings.doubts.corruption.clock_text
    if clocks and bounds.high_pct >= BUSY_IDLE_PCT:
        return (
            f"The device is idle {bounds.text} of the time, but why, and how its steps follow one "
            f"another, cannot be told. {clocks}{bounds.reasons}"
        )
    refused = refusal(findings.coverage, findings.occupancy, findings.operations)
    if refused is not None:
        return refused
    if bounds.high_pct < BUSY_IDLE_PCT:
        return None
    certain_pct = percent(bounds.low_ns, findings.occupancy.idle_ns)
    if bounds.crosses(BUSY_IDLE_PCT) or (bounds.apart and certain_pct < MOSTLY_PCT):
        return f"Idle is {bounds.text} of the time, and that tells nothing.{bounds.reasons}"
    return None


def _doubt(findings: Findings) -> str:
    """Return what of the figures is in doubt, to stand behind other sentences; empty: nothing."""
    coverage = findings.coverage
    lost = coverage.uncertain and not coverage.corrupt_operations
    sentence = " Records were lost, so the figures marked ~ may be off." if lost else ""
    clocks = findings.doubts.corruption.clock_text
    named = f" {clocks}" if clocks else ""
    return f"{named}{findings.doubts.bounds.reasons}{sentence}"


def _shared(findings: Findings) -> Verdict | None:
    """Return the verdict on a GPU that other processes keep busy, too."""
    shared = findings.shared
    incomplete = findings.coverage.truncated
    if shared is None or incomplete or findings.idle_pct < BUSY_IDLE_PCT:
        return None
    if shared.idle_pct >= BUSY_IDLE_PCT:
        return None
    count = len(set(shared.processes))
    share = (
        "share this GPU" if shared.known else "share this GPU, as far as the trace tells"
    )
    never = "never idle" if shared.idle_pct < 0.5 else "busy"
    text = (
        f"{count} processes {share}: this one leaves it idle for {findings.idle_pct:.2f} % of "
        f"the time, all together for {shared.idle_pct:.2f} %, so it is {never}. What one process "
        "gains another loses: give each a GPU of its own where they are to be faster."
    )
    return Verdict(VerdictKind.BUSY, text)


def _copy_bound(findings: Findings) -> Verdict | None:
    """Return the verdict where copies alone take much of the window, and more than idle."""
    occupancy = findings.occupancy
    copies_ns = occupancy.copy_only_ns
    copying_pct = percent(copies_ns, occupancy.window_ns)
    if copying_pct < COPY_BOUND_PCT or copies_ns < occupancy.idle_ns:
        return None
    compute_pct = percent(occupancy.compute_ns, occupancy.window_ns)
    text = (
        f"The device spends {copying_pct:.1f} % of the window only copying: it is "
        f"{findings.idle_text} idle, and computes {compute_pct:.1f} % of the time."
    )
    return Verdict(VerdictKind.COPY_BOUND, text)


def _communication_bound(findings: Findings) -> Verdict | None:
    """Return the verdict where communication alone takes much of the window, and more than idle."""
    exchange, idle_ns = findings.communication, findings.occupancy.idle_ns
    if exchange.exposed_pct < COMMUNICATION_BOUND_PCT or exchange.exposed_ns < idle_ns:
        return None
    text = (
        f"For {exchange.exposed_pct:.1f} % of the window the device only communicates with other "
        f"devices, or waits for them in that: it is {findings.idle_text} idle, and computes for "
        f"{exchange.useful_pct:.1f} % of the time{_batching(findings)}."
    )
    return Verdict(VerdictKind.COMMUNICATION_BOUND, text)


def _busy(findings: Findings) -> Verdict | None:
    """Return the verdict on a device that is hardly idle."""
    if findings.idle_pct >= BUSY_IDLE_PCT:
        return None
    computed = _hidden(findings)
    hidden = f", but {computed}" if computed else ""
    text = f"The device is busy: {findings.idle_text} idle{hidden}"
    return Verdict(VerdictKind.BUSY, f"{text}{_batching(findings)}.")


def _hidden(findings: Findings) -> str:
    """Return how long nothing is computed behind copies, in words; empty where it is little."""
    occupancy = findings.occupancy
    compute_idle_pct = percent(occupancy.compute_idle_ns, occupancy.window_ns)
    if compute_idle_pct < findings.idle_pct + HIDDEN_PCT:
        return ""
    share = f"{compute_idle_pct:.1f} % of the time"
    return f"computes nothing for {share} (compute idle): copies hide it"


def _cold_start(findings: Findings) -> Verdict | None:
    """Return the verdict where most of the idle time is that of a cold start."""
    cold = findings.doubts.cold_start
    if cold is None:
        return None
    cold_pct = percent(cold.idle_ns, findings.occupancy.idle_ns)
    if cold_pct < MOSTLY_PCT:
        return None
    text = (
        f"The device is idle {findings.idle_text} of the time, {cold_pct:.0f} % of that in a "
        f"cold start: {cold.text}. What follows is seen with --window "
        f"{findings.doubts.after_cold_start}."
    )
    return Verdict(VerdictKind.COLD_START, text)


def _idle(findings: Findings) -> Verdict:
    """Return the verdict on a device that is idle."""
    paused = demand.pauses(findings, _batching(findings))
    apart = demand.apart(findings)
    if not apart or (paused is not None and findings.idle_between_pct < BUSY_IDLE_PCT):
        steps_idle, of_which = all_idle(findings.gaps, findings.host_ns), "that"
    else:
        steps_idle, of_which = findings.steps_idle, "the rest"
    kind, because = _reading(findings, steps_idle, of_which)
    if paused is not None:
        return Verdict(kind, paused)

    said = [f"The device is idle {findings.idle_text} of the time"]
    per_step = _per_step(findings)
    if apart:
        said += [apart, f"the rest {per_step}"] if per_step else [apart]
    elif per_step:
        said.append(per_step)
    idle = ", ".join(said)
    if findings.shared is not None:
        idle += f"; with the other processes of this GPU, {findings.shared.idle_pct:.2f} %"
    computed = _hidden(findings)
    hidden = f" It {computed}." if computed else ""
    return Verdict(kind, f"{idle}{';' if apart else ','} {because}.{hidden}")


def _reading(
    findings: Findings, steps_idle: StepsIdle, of_which: str
) -> tuple[VerdictKind, str]:
    """Return what most of some idle time is, and why, as the end of a sentence.

    `of_which` is what that idle time has been called in it.
    """
    idle_ns, cause_ns = steps_idle.idle_ns, steps_idle.cause_ns
    cause = max(cause_ns, key=lambda name: cause_ns[name])
    batching = findings.batching
    eager_pct = percent(findings.eager_ns, idle_ns)
    if eager_pct >= MOSTLY_PCT and not _wait_explains(findings):
        because = "kernels launched one by one run out before the host launches the next"
        return (
            VerdictKind.LAUNCH_BOUND,
            f"{eager_pct:.0f} % of {of_which} because {because}",
        )
    kind, because = READINGS[cause]
    cause_pct = percent(cause_ns[cause], idle_ns)
    because = f"{cause_pct:.0f} % of {of_which} because {because}"
    if cause == "host":
        because += _largest(findings, steps_idle)
        if len(findings.steps) and not _host_is_slower(findings):
            kind = VerdictKind.HOST_EXPOSED
    if (
        batching.kind == ASYNCHRONOUS
        and batching.host_is_slower
        and _host_is_slower(findings)
    ):
        kind = VerdictKind.HOST_LIMITED
    elif batching.kind in (SYNCHRONOUS, ASYNCHRONOUS, SERIALISED):
        kind = VerdictKind(batching.kind)
    return kind, f"{because}{_batching(findings)}"


def _wait_explains(findings: Findings) -> bool:
    """Return whether most of the idle time stands behind a wait inside the step."""
    culprit = findings.batching.culprit
    if findings.batching.kind != SERIALISED or culprit is None or not culprit.inside_step:
        return False
    return percent(culprit.waited_ns, findings.steps_idle.idle_ns) >= MOSTLY_PCT


def _host_is_slower(findings: Findings) -> bool:
    """Return whether the host works for its steps for longer than the device.

    A profiler makes the host's work longer: not where the device alone fills a step without it.
    """
    if _waits_for_ranks(findings):
        return False
    steps, known = findings.usual_steps, findings.unprofiled
    device_ns = int(steps.device.sum())
    if known is not None and device_ns >= FILLS * known.step_ms * 1e6 * len(steps):
        return False
    return int(steps.host.sum()) > device_ns


def _largest(findings: Findings, steps_idle: StepsIdle) -> str:
    """Return what the host did for most of its part of the idle time, in brackets."""
    if not steps_idle.host_ns:
        return ""
    largest, largest_ns = largest_part(steps_idle.host_ns)
    waits = ": it waits for other ranks" if _waits_for_ranks(findings) else ""
    largest_pct = percent(largest_ns, steps_idle.cause_ns["host"])
    return f" ({largest_pct:.0f} % of the host's part is {largest}{waits})"


def _waits_for_ranks(findings: Findings) -> bool:
    """Return whether most of the host's part of the idle time is waiting for other ranks."""
    if not findings.host_ns:
        return False
    largest, _ = largest_part(findings.host_ns)
    return phase_of(largest) == RANK_WAIT


def _per_step(findings: Findings) -> str:
    """Return the idle time that a step costs, as `MeasuredDevice.idle_per_step_ns` has it."""
    steps = len(findings.steps)
    return f"{findings.steps_idle.idle_ns / steps / 1e6:.2f} ms per step" if steps else ""


def _batching(findings: Findings) -> str:
    """Return the batching as the end of a sentence; empty where it is not known."""
    batching, steps = findings.batching, len(findings.steps)
    if findings.doubts.corruption.clock_text:
        return ""
    driver = f" (as {batching.driver} says, which drives it)" if batching.driver else ""
    if batching.kind == ASYNCHRONOUS:
        early = f" ({batching.early} of {batching.followers} steps launched early)"
        if not batching.early:
            early = " (what the host waits for is of older steps)"
        return f"; batching is asynchronous{driver or early}{_slower_host(findings)}"
    if batching.kind == SERIALISED and batching.culprit:
        return f"; batching is serialised by {batching.culprit.text(steps)}"
    if batching.kind == SYNCHRONOUS:
        waits = ""
        if batching.token_wait is not None:
            waits = (
                f", the host waits for each step's tokens in {batching.token_wait.where}"
            )
        inside = ""
        if batching.culprit is not None:
            inside = f", and inside of it in {batching.culprit.text(steps)}"
        return f"; batching is synchronous{driver}{waits}{inside}"
    return _untold(steps)


def _untold(steps: int) -> str:
    """Return why nothing is said of the batching."""
    if not steps:
        return "; no steps were found, so batching is not told"
    if steps < ENOUGH_STEPS:
        few = "one step is" if steps == 1 else f"{steps} steps are"
        return f"; {few} too few to tell the batching"
    return "; nothing tells the batching"


def _slower_host(findings: Findings) -> str:
    """Return by how much the host is the slower side; empty where it is not."""
    if not findings.batching.host_is_slower or not _host_is_slower(findings):
        return ""
    steps = findings.usual_steps
    host_ms = steps.host.mean() / 1e6
    device_ms = steps.device.mean() / 1e6
    return (
        f", but the host is the slower side: it works {host_ms:.2f} ms per step, the device "
        f"{device_ms:.2f} ms"
    )
