"""What a watched process says of itself: `GET /state`, `PID.json`, `idlescope schema watch`.

Times are integer nanoseconds; `…_unix_ns` since 1970. None: cannot be told, which is never 0.
"""

from __future__ import annotations

import msgspec

SCHEMA = 1
HISTORY_S = 120  # rows of `DeviceState.seconds`
LONG_GAPS = 10

# The causes of idle, in the order of `DeviceState.idle_ns`: those of `analysis/README.md`, and the
# part of the host's in which there was no request.
NO_DEMAND = "no demand"
IDLE_CAUSES = ("host", "launch", "queued", "unattributed", NO_DEMAND)


class WatchedProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process with a watch: also what `FOLDER/PID.json` holds."""

    pid: int
    rank: int | None  # None: it has none
    engine: str  # "vllm", "sglang", …, or "a loop"
    version: str  # of the engine; "" where there is none
    way: str  # how the device is timed: events, activity, cpu, host
    url: str  # http://127.0.0.1:PORT; "" where nothing is served
    started_unix_ns: int
    idlescope: str  # its version
    schema: int = SCHEMA


class Second(msgspec.Struct, frozen=True):
    """One second of the last two minutes, as far as it is accounted for."""

    unix_s: int  # its start
    busy_ns: int
    idle_ns: dict[str, int]  # by cause; causes of no time are left out
    steps: int
    tokens: int


class WatchedGap(msgspec.Struct, frozen=True):
    """A long gap."""

    unix_ns: int  # its start
    step: int  # the step that ended it; -1: not known
    length_ns: int
    cause: str  # that most of it is
    phase: str  # what most of the host's part was; "" where there is none


class AsynchronousGain(msgspec.Struct, frozen=True):
    """What asynchronous batching would give, replayed from the last steps."""

    step_ns: int  # now
    predicted_step_ns: int
    saved_pct: float  # of the time
    steps: int  # that were replayed
    how: str  # in a sentence
    unix_ns: int  # when it was predicted
    # Within which a step would be: the interval of the replay and, where the way does not see all
    # that the device does, what that may add (0, 0: not told).
    low_step_ns: int = 0
    high_step_ns: int = 0


class DeviceState(msgspec.Struct, frozen=True, kw_only=True):
    """One watch: what one loop did, and the device that it drives."""

    device: int  # its index; -1: no device is timed
    name: str
    way: str
    engine: str
    off: str  # why the watch turned itself off; "" while it is on
    watched_ns: int | None  # busy_ns and all of idle_ns
    busy_ns: int | None
    idle_ns: dict[str, int] | None  # by cause (IDLE_CAUSES)
    host_ns: dict[str, int]  # idle of the cause host, by phase
    communication_ns: int | None
    steps: dict[str, int]  # by kind
    step_ns: int  # of all steps, on the host
    tokens: int
    requests_running: int | None
    launched_early: int  # steps launched before their predecessor ended
    launched_told: int  # steps of which that is known
    launch_latency_ns: (
        int  # from the start of launch calls to that of their first operation
    )
    launches: int  # of which that is known
    steps_lost: int  # of which rows were dropped, since nobody took them in time
    overhead_ns: int  # what the watch took of the loop's time
    settling_ns: int = (
        0  # processor time of its other thread, most of it while the loop waits
    )
    # Of idle_ns, what the watch made: with CUPTI launching takes longer.
    own_idle_ns: int = 0
    batching: str  # BatchingKind
    asynchronous: AsynchronousGain | None
    seconds: list[Second]
    gaps: list[WatchedGap]  # the last long ones
    notes: list[str]  # what cannot be told, and why


class WatchState(msgspec.Struct, frozen=True, kw_only=True):
    """A process and its watches: `GET /state`."""

    process: WatchedProcess
    unix_ns: int  # when this was said
    devices: list[DeviceState]
    recordings: list[str]  # the folders written so far that are kept, the newest last
    schema: int = SCHEMA
