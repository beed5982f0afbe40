"""What a watch counted between two of its states: the figures that are shown and held to limits.

Idle is that of the time in which there were requests: `no demand` is told apart, since no engine
can cure it. Per step is divided by the steps that ended meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from idlescope.watching.state import NO_DEMAND, DeviceState, Second


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one watch did over some time. None: cannot be told."""

    device: int  # its index; -1: no device is timed
    name: str
    elapsed_ns: int  # between the two states, on the wall clock
    watched_ns: int | None  # that is accounted for: busy_ns and all of idle_ns
    busy_ns: int | None
    idle_ns: dict[str, int] | None  # by cause, `no demand` among them
    host_ns: dict[str, int]  # idle of the cause host, by phase
    idle_pct: float | None  # of the time with requests
    idle_per_step_ns: float | None
    step_ns: float | None  # per step, of the time with requests
    no_demand_pct: float | None  # of all the time
    communication_pct: float | None  # of all the time
    steps: int
    tokens: int
    launched_early_pct: float | None
    launch_latency_ns: float | None
    overhead_pct: float | None  # of the time of a thread, that the watch itself took
    own_idle_per_step_ns: float | None  # that the watch made, of idle_per_step_ns
    idle_without_watch_pct: float | None  # idle_pct less that
    steps_lost: int

    def cause_ns(self) -> dict[str, int]:
        """Return idle by cause, without that for which there is no cure here."""
        return {
            cause: time_ns
            for cause, time_ns in (self.idle_ns or {}).items()
            if cause != NO_DEMAND
        }

    @property
    def demanded_idle_ns(self) -> int:
        """Return the idle time while there were requests."""
        return sum(self.cause_ns().values())


def between(before: DeviceState | None, now: DeviceState, elapsed_ns: int) -> Figures:
    """Return the figures of the time from one state of a watch to a later one.

    `before` is None for all since the watch began.
    """
    idle = _grown(before.idle_ns if before else None, now.idle_ns)
    busy_ns = _less(before.busy_ns if before else None, now.busy_ns)
    watched_ns = None if busy_ns is None else busy_ns + sum((idle or {}).values())
    communication_ns = _less(
        before.communication_ns if before else None, now.communication_ns
    )
    steps = sum(now.steps.values()) - (sum(before.steps.values()) if before else 0)
    demanded_ns = demanded_idle_ns = None
    no_demand_pct = None
    if idle is not None and watched_ns:
        demanded_ns = watched_ns - idle.get(NO_DEMAND, 0)
        demanded_idle_ns = sum(idle.values()) - idle.get(NO_DEMAND, 0)
        no_demand_pct = _pct(idle.get(NO_DEMAND, 0), watched_ns)

    def grown(field: str) -> int:
        return int(getattr(now, field)) - (int(getattr(before, field)) if before else 0)

    own_idle_ns = idle_without_watch_pct = None
    if demanded_ns is not None and demanded_idle_ns is not None:
        own_idle_ns = min(grown("own_idle_ns"), demanded_idle_ns)
        idle_without_watch_pct = _pct(
            demanded_idle_ns - own_idle_ns, demanded_ns - own_idle_ns
        )
    step_time_ns = grown("step_ns") if demanded_ns is None else demanded_ns
    return Figures(
        device=now.device,
        name=now.name,
        elapsed_ns=elapsed_ns,
        watched_ns=watched_ns,
        busy_ns=busy_ns,
        idle_ns=idle,
        host_ns=_grown(before.host_ns if before else None, now.host_ns) or {},
        idle_pct=_pct(demanded_idle_ns, demanded_ns),
        idle_per_step_ns=_mean(demanded_idle_ns, steps),
        step_ns=_mean(step_time_ns, steps),
        no_demand_pct=no_demand_pct,
        communication_pct=_pct(communication_ns, watched_ns),
        steps=steps,
        tokens=grown("tokens"),
        launched_early_pct=_pct(grown("launched_early"), grown("launched_told")),
        launch_latency_ns=_mean(grown("launch_latency_ns"), grown("launches")),
        overhead_pct=_pct(grown("overhead_ns"), elapsed_ns),
        own_idle_per_step_ns=_mean(own_idle_ns, steps),
        idle_without_watch_pct=idle_without_watch_pct,
        steps_lost=grown("steps_lost"),
    )


def idle_share(second: Second) -> float | None:
    """Return the share of a second with requests that was idle, 0 to 1; None without requests."""
    idle_ns = sum(second.idle_ns.values()) - second.idle_ns.get(NO_DEMAND, 0)
    demanded_ns = second.busy_ns + idle_ns
    return idle_ns / demanded_ns if demanded_ns else None


def _grown(
    before: Mapping[str, int] | None, now: Mapping[str, int] | None
) -> dict[str, int] | None:
    """Return by how much each count grew; None where it is not told now."""
    if now is None:
        return None
    earlier = before or {}
    return {name: value - earlier.get(name, 0) for name, value in now.items()}


def _less(before: int | None, now: int | None) -> int | None:
    return None if now is None else now - (before or 0)


def _pct(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else 100.0 * part / whole


def _mean(total: int | None, count: int) -> float | None:
    return None if total is None or not count else total / count
