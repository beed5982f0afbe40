"""What is exported, whoever takes it: families of counters, gauges and histograms.

Times are seconds, as the conventions of Prometheus and OpenTelemetry want; they are made of integer
nanoseconds that only grow, so rates over any window are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from idlescope.watching.state import DeviceState, WatchedProcess
from idlescope.watching.totals import Histogram, Totals

Labels = Mapping[str, str]


class FamilyKind(Enum):
    """What a family is."""

    COUNTER = "counter"
    GAUGE = "gauge"


class Family(NamedTuple):
    """One metric: its name without `_total`, and a value for each set of labels."""

    name: str
    kind: FamilyKind
    what: str
    values: Sequence[tuple[Labels, float]]


class HistogramFamily(NamedTuple):
    """One histogram of seconds, with the counts of each device's."""

    name: str
    what: str
    values: Sequence[tuple[Labels, Histogram]]


class SummaryFamily(NamedTuple):
    """One sum of seconds and a count: a count and ns for each set of labels."""

    name: str
    what: str
    values: Sequence[tuple[Labels, int, int]]


class Seen(NamedTuple):
    """One watch, as it is exported."""

    state: DeviceState
    totals: Totals
    device: str  # the label: the device's number; "" where none is timed


def told_apart(watches: Sequence[Seen]) -> list[Seen]:
    """Return watches of which no two have one label: the second of device 0 is `0#2`."""
    counts: dict[str, int] = {}
    found = []
    for seen in watches:
        count = counts[seen.device] = counts.get(seen.device, 0) + 1
        label = seen.device if count == 1 else f"{seen.device}#{count}"
        found.append(seen._replace(device=label))
    return found


def families(process: WatchedProcess, watches: Sequence[Seen]) -> Iterator[Family]:
    """Yield the counters and gauges of a process."""
    timed = [seen for seen in watches if seen.state.watched_ns is not None]
    yield _counter(
        "idlescope_device_seconds",
        "Time of the device that is accounted for, by state and by cause of idle.",
        [entry for seen in timed for entry in _device_seconds(seen)],
    )
    yield _counter(
        "idlescope_host_exposed_seconds",
        "Idle time of the device in which the host had not issued work, by phase.",
        [
            ({**device_label(seen), "phase": phase}, time_ns / 1e9)
            for seen in timed
            for phase, time_ns in seen.state.host_ns.items()
        ],
    )
    yield _counter(
        "idlescope_communication_seconds",
        "Time of the device in which data moved between devices.",
        [
            (device_label(seen), seen.state.communication_ns / 1e9)
            for seen in timed
            if seen.state.communication_ns is not None
        ],
    )
    yield _counter(
        "idlescope_steps",
        "Steps by what they compute.",
        [
            ({**device_label(seen), "kind": kind}, count)
            for seen in watches
            for kind, count in seen.state.steps.items()
        ],
    )
    for counted in _COUNTED:
        yield _plain(counted, watches)
    for counted in _COUNTED_OF_DEVICES:
        yield _plain(counted, timed)
    yield Family(
        "idlescope_requests_running",
        FamilyKind.GAUGE,
        "Requests in the last step, where the engine says it.",
        [
            (device_label(seen), float(seen.state.requests_running))
            for seen in watches
            if seen.state.requests_running is not None
        ],
    )
    yield Family(
        "idlescope_watch_info",
        FamilyKind.GAUGE,
        "The watch itself.",
        [(_info(process, seen), 0.0 if seen.state.off else 1.0) for seen in watches],
    )


def histograms(watches: Sequence[Seen]) -> Iterator[HistogramFamily]:
    """Yield the histograms of a process."""
    timed = [seen for seen in watches if seen.state.watched_ns is not None]
    yield HistogramFamily(
        "idlescope_idle_per_step_seconds",
        "Idle time of the device that each step exposed.",
        [(device_label(seen), seen.totals.idle_per_step) for seen in timed],
    )
    yield HistogramFamily(
        "idlescope_step_seconds",
        "Time of each step on the host.",
        [(device_label(seen), seen.totals.step_time) for seen in watches],
    )


def summaries(watches: Sequence[Seen]) -> Iterator[SummaryFamily]:
    """Yield what has a sum and a count."""
    yield SummaryFamily(
        "idlescope_launch_latency_seconds",
        "Time from launch calls that found the device idle to the start of their work.",
        [
            (device_label(seen), seen.state.launches, seen.state.launch_latency_ns)
            for seen in watches
            if seen.state.watched_ns is not None
        ],
    )


class _Counted(NamedTuple):
    """A counter that is one field of `DeviceState`."""

    name: str
    what: str
    field: str
    unit: float = 1.0


_COUNTED = (
    _Counted("idlescope_tokens", "Tokens of steps, where the engine says it.", "tokens"),
    _Counted(
        "idlescope_watch_steps_lost",
        "Rows that were dropped because nobody took them in time.",
        "steps_lost",
    ),
    _Counted(
        "idlescope_watch_overhead_seconds",
        "Time that the watch took of the loop's, sampled.",
        "overhead_ns",
        1e9,
    ),
    _Counted(
        "idlescope_watch_settling_seconds",
        "Processor time of the watch's other thread, most of it while the loop waits.",
        "settling_ns",
        1e9,
    ),
)
_COUNTED_OF_DEVICES = (
    _Counted(
        "idlescope_watch_idle_seconds",
        "Idle time that the watch made: with CUPTI launching takes longer.",
        "own_idle_ns",
        1e9,
    ),
    _Counted(
        "idlescope_steps_launched_early",
        "Steps launched before their predecessor ended: asynchronous batching.",
        "launched_early",
    ),
    _Counted(
        "idlescope_steps_launched_told",
        "Steps of which it is known whether they were launched early.",
        "launched_told",
    ),
)


def _plain(counted: _Counted, watches: Sequence[Seen]) -> Family:
    values = [
        (device_label(seen), getattr(seen.state, counted.field) / counted.unit)
        for seen in watches
    ]
    return _counter(counted.name, counted.what, values)


def device_label(seen: Seen) -> dict[str, str]:
    """Return the label of a watch."""
    return {"device": seen.device}


def _counter(name: str, what: str, values: Sequence[tuple[Labels, float]]) -> Family:
    return Family(name, FamilyKind.COUNTER, what, values)


def _device_seconds(seen: Seen) -> Iterator[tuple[Labels, float]]:
    label = device_label(seen)
    yield {**label, "state": "busy", "cause": ""}, (seen.state.busy_ns or 0) / 1e9
    for cause, time_ns in (seen.state.idle_ns or {}).items():
        yield {**label, "state": "idle", "cause": cause}, time_ns / 1e9


def _info(process: WatchedProcess, seen: Seen) -> dict[str, str]:
    return {
        **device_label(seen),
        "engine": seen.state.engine,
        "version": process.version,
        "way": seen.state.way,
        "rank": "" if process.rank is None else str(process.rank),
        "pid": str(process.pid),
    }
