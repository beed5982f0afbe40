"""What a run shows, in a sentence for each question: this engine, a published one's host, yours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from idlescope.analysis.idle.demand import causes_apart
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.intervals import percent
from idlescope.analysis.prediction import published
from idlescope.analysis.prediction.published_host import IdleByMode, WithPublishedHost
from idlescope.analysis.verdict.verdict import READINGS
from idlescope.experiment.document import Load, PublishedHost
from idlescope.experiment.mode_run import ModeRun, time_text
from idlescope.experiment.modes import Mode
from idlescope.experiment.target import Target

WORTH_SAYING = 1.005  # a smaller speed-up is called little
IDLE_LEFT_PCT = 5.0  # of the window, in asynchronous batching: more has to be explained
YOUR_ENGINE = "Where your own engine stands, its trace says: idlescope analyze TRACE"


@dataclass(frozen=True)
class Compared:
    """What the first sentence is about: the modes of a run, and what they ran on."""

    modes: Mapping[str, ModeRun]
    device: str  # with its article
    noun: str  # what sentences call it
    load: Load | None  # of requests that arrive during the run; None: all were there
    interrupted: bool

    @property
    def sync(self) -> ModeRun:
        """Return the synchronous run."""
        return self.modes[Mode.SYNC]

    @property
    def asynchronous(self) -> ModeRun:
        """Return the asynchronous run."""
        return self.modes[Mode.ASYNC]


def this_engine(compared: Compared) -> str:
    """Return what the run shows of the engine that ran, in one sentence."""
    on_device = f"on {compared.device}"
    if compared.interrupted:
        return f"Stopped early {on_device}: the figures cover only the steps that ran."
    if set(compared.modes) != set(Mode):
        return _one_mode(compared)
    if compared.load is not None:
        return _at_load(compared, compared.load)
    sync_ns, async_ns = compared.sync.total_ns, compared.asynchronous.total_ns
    times = f"{time_text(sync_ns)} → {time_text(async_ns)}"
    change = f"{times}, {_idle_change(compared)}"
    if sync_ns / async_ns < WORTH_SAYING:
        why = _why_little(compared)
        return f"Asynchronous batching changes little ({change}) {on_device}: {why}."
    faster = f"{sync_ns / async_ns:.3f} times faster"
    left = f"; {_host_left(compared)}" if _host_bound(compared) else ""
    why = f"synchronous, {_why_idle(compared.noun, compared.sync)}"
    return f"Asynchronous batching is {faster} ({change}) {on_device}: {why}{left}."


def _one_mode(compared: Compared) -> str:
    """Return the sentence where only one mode was run."""
    ((mode_name, mode_run),) = compared.modes.items()
    adjective = Mode(mode_name).adjective
    if compared.load is not None:
        return _one_at_load(compared, compared.load, mode_run)
    took = f"{adjective} batching took {time_text(mode_run.total_ns)}"
    idle = f"with the {compared.noun} idle {mode_run.result.idle_pct:.2f} %"
    why = (
        f": {_why_idle(compared.noun, mode_run)}"
        if mode_run.result.occupancy.idle_ns
        else ""
    )
    return f"{took} {idle} on {compared.device}{why}."


def _one_at_load(compared: Compared, load: Load, mode_run: ModeRun) -> str:
    """Return the sentence on requests that arrive, of one mode."""
    latencies = mode_run.latencies()
    figures = [
        f"{words} {found.p50:,.1f} ms (p99 {found.p99:,.1f} ms)"
        for name, words in LATENCIES_SAID.items()
        if (found := latencies[name]) is not None
    ]
    at_load = f"At {load.requests_per_s:,.3g} requests/s ({load.arrival})"
    said = f"{mode_run.mode.adjective.lower()} batching gives {' and '.join(figures)}"
    idle = f"the {compared.noun} is idle {mode_run.idle_with_work_pct:.2f} %"
    return (
        f"{at_load} {said} on {compared.device}; while there are requests {idle} "
        f"({_missing(mode_run.no_demand_pct)}).{_highest(load)}"
    )


def _missing(no_demand_pct: float) -> str:
    return (
        f"no request was there for {no_demand_pct:.1f} % of the time: no idleness to cure"
    )


def _idle_change(compared: Compared) -> str:
    sync_pct = compared.sync.result.idle_pct
    return f"idle {sync_pct:.2f} % → {compared.asynchronous.result.idle_pct:.2f} %"


def _why_idle(noun: str, mode_run: ModeRun) -> str:
    """Return why the device is idle in a mode: the cause of most of it."""
    result = mode_run.result
    causes = _causes(mode_run)
    largest = max(causes, key=lambda cause: causes[cause])
    share_pct = percent(causes[largest], result.occupancy.idle_ns)
    _, because = READINGS[largest]
    return f"the {noun} is idle because {because} ({share_pct:.0f} % of it)"


def _at_load(compared: Compared, load: Load) -> str:
    """Return the sentence on requests that arrive: how long they take, not the run as a whole.

    How long a run takes is then said by the last arrival, and time without a request is no idleness
    that batching could cure.
    """
    figures = [_latency_change(compared, name) for name in LATENCIES_SAID]
    said = " and ".join(figure for figure in figures if figure is not None)
    missing_pct = load.no_demand_pct[Mode.ASYNC]
    sync_pct, async_pct = (load.idle_with_work_pct[mode] for mode in Mode)
    at_load = f"At {load.requests_per_s:,.3g} requests/s ({load.arrival})"
    demand = (
        f"no request was there for {missing_pct:.1f} % of the time: no idleness to cure"
    )
    return (
        f"{at_load} asynchronous batching gives {said} on {compared.device}; while there are "
        f"requests the {compared.noun} is idle {sync_pct:.2f} % → {async_pct:.2f} % ({demand})."
        f"{_highest(load)}"
    )


def _highest(load: Load) -> str:
    """Return the sentence on the highest rates that keep the target; empty where none was asked."""
    rates = load.highest_requests_per_s
    if load.target is None or rates is None:
        return ""
    said = [
        f"{_rate(rates[mode])} {mode.adjective.lower()}" for mode in Mode if mode in rates
    ]
    target = Target.parse(load.target).text()
    return f" {target[0].upper()}{target[1:]} is kept at {', '.join(said)}."


def _rate(requests_per_s: float | None) -> str:
    if requests_per_s is None:
        return "any rate"
    if not requests_per_s:
        return "no rate"
    return f"up to {requests_per_s:,.3g} requests/s"


LATENCIES_SAID = {
    "time_per_output_token_ms": "time per output token",
    "latency_ms": "latency",
}


def _latency_change(compared: Compared, name: str) -> str | None:
    """Return the median and the 99th percentile of a latency in both modes, in words."""
    before = compared.sync.latencies()[name]
    after = compared.asynchronous.latencies()[name]
    if before is None or after is None:
        return None
    medians = f"{before.p50:,.1f} → {after.p50:,.1f} ms"
    slowest = f"p99 {before.p99:,.1f} → {after.p99:,.1f} ms"
    return f"{LATENCIES_SAID[name]} {medians} ({slowest})"


def _why_little(compared: Compared) -> str:
    """Return why asynchronous batching changes little."""
    mode_run, noun = compared.asynchronous, compared.noun
    if _host_bound(compared):
        return f"the host needs longer for a step than the {noun}"
    if mode_run.no_demand_pct > IDLE_LEFT_PCT:
        return f"the {noun} waited for requests to arrive"
    if mode_run.idle_with_work_pct <= IDLE_LEFT_PCT:
        return f"the {noun} hardly waited for the host"
    causes = _causes(mode_run)
    largest = max(causes, key=lambda cause: causes[cause])
    return f"the host is not the slower side; most of what is idle has the cause {largest}"


def _causes(mode_run: ModeRun) -> dict[str, int]:
    """Return idle by cause, in ns, without the time in which there was no request."""
    causes = causes_apart(mode_run.result.gaps, mode_run.result.host_ns)
    del causes[NO_DEMAND]
    return causes


def _host_left(compared: Compared) -> str:
    return f"the host still needs longer for a step than the {compared.noun}"


def _host_bound(compared: Compared) -> bool:
    """Return whether asynchronous batching stays idle because the host is the slower side."""
    mode_run = compared.asynchronous
    return mode_run.host_is_longer and mode_run.idle_with_work_pct > IDLE_LEFT_PCT


def published_document(replayed: WithPublishedHost) -> PublishedHost:
    """Return `published_host` of summary.json."""
    engine, its_steps = replayed.engine, replayed.its_steps
    return PublishedHost(
        engine=engine.name,
        source=engine.source,
        gap_ms=engine.host_ms,
        gap_ms_here=replayed.gap_ms,
        host_work_ms=replayed.host_work_ms,
        device_ms=engine.device_ms,
        idle_pct=_by_mode(replayed.same_steps),
        with_its_device_idle_pct=None if its_steps is None else _by_mode(its_steps),
        measured_idle_pct=_by_mode(replayed.measured),
    )


def _by_mode(idle: IdleByMode) -> dict[str, float]:
    return {Mode.SYNC.value: idle.sync, Mode.ASYNC.value: idle.asynchronous}


def said_of_published(host: PublishedHost) -> str:
    """Return what the published engine's host would make of a run's steps, in a sentence."""
    alone = _change(host.idle_pct)
    if host.gap_ms_here != host.gap_ms:
        return (
            f"With the host of {host.engine} (its GPU waits {host.gap_ms:.2f} ms per step, about "
            f"{host.gap_ms_here:.2f} at this batch and context), the same steps are idle {alone}."
        )
    with_host = (
        f"With the host of {host.engine} (its GPU waits {host.gap_ms:.2f} ms per step)"
    )
    its_steps = host.with_its_device_idle_pct
    if its_steps is None:
        return f"{with_host}, the same steps are idle {alone}."
    return (
        f"{with_host} and its device time ({host.device_ms:.1f} ms), the same steps are idle "
        f"{_change(its_steps)} (measured there: {_change(host.measured_idle_pct)}); with that "
        f"host on this device {alone}."
    )


def published_tells_nothing(cached_tokens: float) -> str:
    """Return why nothing is said of the published engine's host, in a sentence."""
    engine, _ = published.HEADLINE
    return (
        f"What the host of {engine.name}, would make of these steps is not known: its work grows "
        f"with the tokens in the KV cache and was measured with {published.FEWEST_CACHED:,} to "
        f"{published.MOST_CACHED:,}; here they are {cached_tokens:,.0f} per step."
    )


def _change(idle_pct: Mapping[str, float]) -> str:
    return f"{idle_pct[Mode.SYNC]:.1f} % → {idle_pct[Mode.ASYNC]:.1f} %"
