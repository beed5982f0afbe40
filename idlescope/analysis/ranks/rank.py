"""One rank's figures, as they stand beside those of the others. Plain values, no trace."""

from __future__ import annotations

from msgspec import Struct

from idlescope.analysis.idle.of_steps import of_steps
from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.ranks.layout import RankPlace
from idlescope.analysis.ranks.timeline import RankTimeline, timeline
from idlescope.analysis.steps.batching import BatchingKind
from idlescope.analysis.steps.stated_work import steps_work
from idlescope.analysis.verdict.findings import VerdictKind
from idlescope.trace.model import RangeKind


class RankPrediction(Struct, frozen=True):
    """What asynchronous batching would make of one rank by itself. Nanoseconds per step."""

    step_ns: float
    recorded_step_ns: float


class RankFigures(Struct, frozen=True):
    """The figures of one rank. Times in nanoseconds."""

    label: str  # "rank 0", or what else tells it from the others
    row: int  # of its device among those that were analysed
    device: str  # its number and name
    place: RankPlace
    engine: str  # "" where no known engine's names are in its trace
    window_ns: int
    at_work_ns: int  # of the window, without a start-up, pauses and a lack of requests
    busy_ns: int  # of that
    idle_ns: int
    communication_ns: int
    exposed_communication_ns: int
    useful_compute_ns: int
    steps: int
    dummies: int  # forward passes of no request
    no_demand: bool  # that is its verdict
    told: bool  # a verdict could be given
    batch: float | None  # requests in a step, the mean; None: not said
    batching: BatchingKind
    driven: bool  # its batching is taken from another rank
    largest_host_part: str  # of its host's idle time; empty: none
    stacks: bool  # Python frames were recorded with it, which make its host slower
    prediction: RankPrediction | None

    @property
    def idle_pct(self) -> float:
        """Return idle as a share of the window."""
        return percent(self.idle_ns, self.window_ns)

    @property
    def useful_pct(self) -> float:
        """Return useful compute as a share of the window."""
        return percent(self.useful_compute_ns, self.window_ns)

    @property
    def exposed_pct(self) -> float:
        """Return exposed communication as a share of the time at work."""
        return percent(self.exposed_communication_ns, self.at_work_ns)

    @property
    def step_ns(self) -> float | None:
        """Return the time of a step; None where steps are not known."""
        return self.at_work_ns / self.steps if self.steps else None


class RankSummary(RankFigures, frozen=True):
    """What is known of one rank without the others."""

    times: RankTimeline


def summary(
    device: MeasuredDevice,
    prediction: Prediction | None,
    label: str,
    place: RankPlace,
    row: int,
) -> RankSummary:
    """Return what is known of one rank."""
    exchange, part = device.communication, device.judged_part
    occupancy, spread = part.occupancy, part.spread
    host_parts = of_steps(part.gaps, part.host_ns, spread).host_ns
    return RankSummary(
        label=label,
        row=row,
        device=f"{device.device.index} {device.device.name}".strip(),
        place=place,
        engine=device.view.engine,
        window_ns=device.occupancy.window_ns,
        at_work_ns=occupancy.window_ns - spread.apart_ns,
        busy_ns=occupancy.active_ns,
        idle_ns=device.occupancy.idle_ns,
        communication_ns=exchange.communication_ns,
        exposed_communication_ns=exchange.exposed_ns,
        useful_compute_ns=exchange.useful_compute_ns,
        steps=len(part.steps),
        dummies=int((device.empty.operations > 0).sum()),
        no_demand=device.verdict.kind == VerdictKind.NO_DEMAND,
        told=device.verdict.kind != VerdictKind.CANNOT_TELL,
        batch=_batch(device),
        batching=device.batching.kind,
        driven=bool(device.batching.driver),
        largest_host_part=max(host_parts, key=lambda part: host_parts[part], default=""),
        stacks=bool((device.view.trace.ranges.kind == RangeKind.FRAME).any()),
        prediction=_short(prediction),
        times=timeline(device),
    )


def _batch(device: MeasuredDevice) -> float | None:
    """Return how many requests a step has, the mean of those that say it."""
    work = steps_work(device)
    if work is None:
        return None
    sampled = work.sampled[work.sampled > 0]
    return float(sampled.mean()) if sampled.size else None


def _short(prediction: Prediction | None) -> RankPrediction | None:
    if prediction is None:
        return None
    return RankPrediction(prediction.predicted.step_ns, prediction.base.step_ns)
