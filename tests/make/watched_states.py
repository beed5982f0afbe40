"""States of watches as a process serves them, from the few figures that a test is about."""

from __future__ import annotations

import os

import msgspec

from idlescope.watching.state import (
    IDLE_CAUSES,
    AsynchronousGain,
    DeviceState,
    Second,
    WatchedGap,
    WatchedProcess,
    WatchState,
)
from idlescope.watching.view.document import WatchedDocument
from idlescope.watching.view.figures import between

MS = 1_000_000
SECOND = 1_000 * MS
BEGUN = 1_790_000_000 * SECOND  # 2026-09-21 14:13:20 UTC


def device(busy_ms=0, steps=0, **given):
    """A device that was busy so long; `idle_ms` by cause, `host_ms` by phase."""
    idle_ms = given.pop("idle_ms", {})
    host_ms = given.pop("host_ms", {})
    idle_ns = {cause: idle_ms.get(cause, 0) * MS for cause in IDLE_CAUSES}
    watched_ns = busy_ms * MS + sum(idle_ns.values())
    fields = {
        "device": 0,
        "name": "a GPU",
        "way": "events",
        "engine": "vllm",
        "off": "",
        "watched_ns": watched_ns,
        "busy_ns": busy_ms * MS,
        "idle_ns": idle_ns,
        "host_ns": {phase: time_ms * MS for phase, time_ms in host_ms.items()},
        "communication_ns": None,
        "steps": {"decode": steps},
        "step_ns": watched_ns,
        "tokens": 32 * steps,
        "requests_running": 32,
        "launched_early": 0,
        "launched_told": steps,
        "launch_latency_ns": 0,
        "launches": 0,
        "steps_lost": 0,
        "overhead_ns": 0,
        "batching": "synchronous",
        "asynchronous": None,
        "seconds": [],
        "gaps": [],
        "notes": [],
    }
    return DeviceState(**{**fields, **given})


def untimed(steps=0, **given):
    """A watch that times no device."""
    nothing = {
        "watched_ns": None,
        "busy_ns": None,
        "idle_ns": None,
        "step_ns": steps * 8 * MS,
    }
    return device(steps=steps, **{"device": -1, "way": "host", **nothing, **given})


def process(url="", pid=None, rank=None, started=BEGUN):
    return WatchedProcess(
        pid=os.getpid() if pid is None else pid,
        rank=rank,
        engine="vllm",
        version="0.24.0",
        way="events",
        url=url,
        started_unix_ns=started,
        idlescope="0.1.0",
    )


def state(*devices, after_s=100.0, recordings=(), **of_process):
    """The state of a process, so many seconds after it began."""
    return WatchState(
        process=process(**of_process),
        unix_ns=BEGUN + round(after_s * SECOND),
        devices=list(devices),
        recordings=list(recordings),
    )


def page(watch_state) -> str:
    return msgspec.json.encode(watch_state).decode()


def second(number, idle_pct=0, cause="host"):
    """A second of which such a part was idle."""
    idle_ns = idle_pct * SECOND // 100
    return Second(BEGUN // SECOND + number, SECOND - idle_ns, {cause: idle_ns}, 100, 3_200)


def gap(after_s, length_ms, step, cause="host", phase="schedule"):
    return WatchedGap(BEGUN + after_s * SECOND, step, length_ms * MS, cause, phase)


GAIN = AsynchronousGain(
    step_ns=round(8.1 * MS),
    predicted_step_ns=round(6.12 * MS),
    saved_pct=24.4,
    steps=128,
    how="replayed",
    unix_ns=BEGUN,
    low_step_ns=6 * MS,
    high_step_ns=round(6.5 * MS),
)


def document(watch_state=None, gone="", exported=None, seconds=10, label="4242"):
    """What is known of a process after so many seconds, or of a server without a watch."""
    devices = watch_state.devices if watch_state else ()
    return WatchedDocument(
        label=label,
        url="http://127.0.0.1:9401",
        gone=gone,
        seconds=seconds,
        figures=[between(None, one, seconds * SECOND) for one in devices],
        state=watch_state,
        exported=exported,
    )


def example(rank=0, pid=4242):
    """A synchronous loop that idles for a quarter of the time, after 100 s."""
    return state(
        device(
            busy_ms=6_000,
            steps=1_000,
            idle_ms={"host": 1_600, "launch": 300, "queued": 100, "no demand": 2_000},
            host_ms={"sample": 900, "schedule": 500, "prepare": 200},
            launch_latency_ns=1_000 * 15_000,
            launches=1_000,
            overhead_ns=20 * MS,
            asynchronous=GAIN,
            seconds=[second(number, 20 + number % 7) for number in range(90)],
            gaps=[gap(5, 14, 611), gap(60, 31, 7_310, "launch", "")],
            notes=["watched by events: kernels inside a launch are one operation"],
        ),
        pid=pid,
        rank=rank,
        url="http://127.0.0.1:9401",
    )
