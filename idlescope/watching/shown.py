"""A watch as it is shown: its account as a `DeviceState`."""

from __future__ import annotations

import time
from collections import Counter
from typing import Protocol

from msgspec import structs

from idlescope.analysis.steps.batching import BatchingKind
from idlescope.watching.account import Account
from idlescope.watching.foresight import Foreseen
from idlescope.watching.state import DeviceState
from idlescope.watching.totals import Totals
from idlescope.watching.ways.base import DeviceWay

SHARED_NOTE = (
    "loops of this process share the device: what is idle for this one, another may fill"
)
ASYNCHRONOUS_NOTE = "what asynchronous batching would give: "


class Shown(Protocol):
    """What is shown of a watch beside its account."""

    off: str
    engine: str
    way: DeviceWay

    @property
    def lost(self) -> int:
        """Return how many rows were dropped."""

    @property
    def overhead_ns(self) -> int:
        """Return what the watch took of the loop's time."""

    @property
    def settling_ns(self) -> int:
        """Return the processor time of what happens beside the loop."""


def device_state(watch: Shown, account: Account, told: Foreseen | None) -> DeviceState:
    """Return the state of one watch; `told` is what its last steps tell, None: nobody asked."""
    totals, device = account.totals, watch.way.device
    timed = device is not None and totals.watched_ns > 0
    tells_communication = timed and watch.way.tells_communication
    offset = time.time_ns() - time.perf_counter_ns()
    return DeviceState(
        device=-1 if device is None else device.index,
        name="" if device is None else device.name,
        way=watch.way.name,
        engine=watch.engine,
        off=watch.off,
        watched_ns=totals.watched_ns if timed else None,
        busy_ns=totals.busy_ns if timed else None,
        idle_ns=dict(totals.idle_ns) if timed else None,
        host_ns=dict(totals.host_ns),
        communication_ns=totals.communication_ns if tells_communication else None,
        steps={kind: count for kind, count in totals.steps.items() if count},
        step_ns=totals.step_time.sum_ns,
        tokens=totals.tokens,
        requests_running=totals.requests,
        launched_early=totals.launched_early,
        launched_told=totals.launched_told,
        launch_latency_ns=totals.launch_latency_ns,
        launches=totals.launches,
        steps_lost=watch.lost,
        overhead_ns=watch.overhead_ns,
        settling_ns=watch.settling_ns,
        own_idle_ns=totals.own_idle_ns,
        batching=_batching(totals, told),
        asynchronous=told.gain if told else None,
        seconds=account.history.seconds(offset),
        gaps=account.history.long_gaps(offset),
        notes=_notes(watch, totals, told),
    )


def sharing(devices: list[DeviceState]) -> list[DeviceState]:
    """Return the watches of one process, with a note for those whose device others use, too."""
    loops = Counter(state.device for state in devices if state.device >= 0)
    return [
        structs.replace(state, notes=[*state.notes, SHARED_NOTE])
        if loops[state.device] > 1
        else state
        for state in devices
    ]


def _batching(totals: Totals, told: Foreseen | None) -> str:
    """Return the batching as the last steps tell it, else as early launches do."""
    if told is not None and told.batching != BatchingKind.UNKNOWN:
        return told.batching
    if totals.launched_told and 2 * totals.launched_early > totals.launched_told:
        return str(BatchingKind.ASYNCHRONOUS)
    return str(BatchingKind.UNKNOWN)


def _notes(watch: Shown, totals: Totals, told: Foreseen | None) -> list[str]:
    notes = [f"watched by {watch.way.name}: {limit}" for limit in watch.way.limits]
    if watch.off:
        notes.append(f"the watch is off: {watch.off}")
    if watch.way.device is not None and not totals.watched_ns:
        notes.append("cannot tell yet: nothing has ended on the device")
    if watch.lost:
        notes.append(f"{watch.lost:,} rows were dropped: figures are too low by these")
    if told is not None and told.note:
        notes.append(f"{ASYNCHRONOUS_NOTE}{told.note}")
    return notes
