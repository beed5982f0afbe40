"""Make recordings of a batching loop whose costs vary as those of a real one do, with a truth that is known.

A step's host phases and device time are lognormal about their means; neighbouring steps are
correlated (AR(1)), some steps are several times slower, the device's time grows with the contexts,
and each recording is as a whole a little faster or slower than the next.
"""

from __future__ import annotations

import numpy as np

from idlescope.trace.metadata import Metadata
from idlescope.trace.model import (
    Calls,
    Counters,
    Device,
    OperationKind,
    Operations,
    RangeKind,
    Ranges,
    Thread,
    Trace,
)

PHASES_NS = {
    "schedule": 300_000,
    "prepare": 2_500_000,
    "submit": 200_000,
    "update": 1_200_000,
}
DEVICE_NS = 9_000_000
GROWTH = 0.3  # of the device's time from the first step to the last
SPREAD, CORRELATION = 0.05, 0.6  # from step to step
MEMORY = 24  # steps after which nothing is left of one
SLOW_SHARE, SLOW = 0.01, 3.0  # of steps whose update is so many times slower
LATENCY_NS, WAKE_UP_NS, LAUNCH_NS = 8_000, 20_000, 5_000
NAMES = (
    *PHASES_NS,
    "retrieve",
    "forward",
    "cudaGraphLaunch",
    "event.synchronize",
    "tokens",
)
BATCH = 32


def recording(
    seed, steps=400, *, spread=SPREAD, between=0.0, factors=None, asynchronous=False, tokens=BATCH
) -> Trace:  # fmt: skip
    """A recording; `factors` multiply the means of phases, or of "device"; `between` is how runs vary, as a share."""
    random = np.random.default_rng(seed)
    factors = factors or {}
    cost = {
        name: _noisy(random, mean, steps, spread, between) * factors.get(name, 1.0) for name, mean in PHASES_NS.items()
    }  # fmt: skip
    cost["update"] *= np.where(random.random(steps) < SLOW_SHARE, SLOW, 1.0)
    growth = 1 + GROWTH * np.linspace(0, 1, steps)
    device = (
        _noisy(random, DEVICE_NS, steps, spread, between / 5)
        * growth
        * factors.get("device", 1.0)
    )
    return (
        _asynchronous(cost, device, tokens)
        if asynchronous
        else _synchronous(cost, device, tokens)
    )


def _noisy(random, mean, steps, spread, between):
    shocks = random.normal(0, 1, steps + MEMORY)
    level = np.convolve(shocks, CORRELATION ** np.arange(MEMORY), "valid")[
        :steps
    ] * np.sqrt(1 - CORRELATION**2)
    return mean * np.exp(spread * level + between * random.normal())


def _synchronous(cost, device, tokens):
    """schedule, prepare, submit (launches at its end), device, retrieve (waits), update; then the next step."""
    parts = [cost["schedule"], cost["prepare"], cost["submit"], LATENCY_NS + device, 0 * device + WAKE_UP_NS,
             cost["update"]]  # fmt: skip
    table = np.column_stack([np.rint(p).astype(np.int64) for p in parts])
    ends = np.cumsum(table).reshape(table.shape)
    starts = ends - table
    schedule, prepare, submit, compute, wake, update = range(6)
    spans = {name: (starts[:, i], ends[:, i]) for name, i in (("schedule", schedule), ("prepare", prepare),
             ("submit", submit), ("update", update))}  # fmt: skip
    spans["retrieve"] = (starts[:, compute], ends[:, wake])
    return _trace(
        spans,
        starts[:, compute] + LATENCY_NS,
        ends[:, compute],
        ends[:, submit],
        spans["retrieve"],
        tokens,
    )


def _asynchronous(cost, device, tokens):
    """The host works for step N+1 while the device computes step N; the device is never waited for by its work."""
    n = device.size
    cost = {name: np.rint(c).astype(np.int64).tolist() for name, c in cost.items()}
    device = np.rint(device).astype(np.int64).tolist()
    spans = {
        name: (np.zeros(n, np.int64), np.zeros(n, np.int64))
        for name in (*PHASES_NS, "retrieve")
    }
    start, end = np.zeros(n, np.int64), np.zeros(n, np.int64)
    now = free = 0

    def spend(name, i, until):
        nonlocal now
        spans[name][0][i], spans[name][1][i] = now, until
        now = until

    def finish(i):
        spend("retrieve", i, max(now, int(end[i])) + WAKE_UP_NS)
        spend("update", i, now + cost["update"][i])

    for i in range(n):
        for name in ("schedule", "prepare", "submit"):
            spend(name, i, now + cost[name][i])
        start[i] = max(now + LATENCY_NS, free)
        end[i] = free = int(start[i]) + device[i]
        if i:
            finish(i - 1)
    finish(n - 1)
    return _trace(spans, start, end, spans["submit"][1], spans["retrieve"], tokens)


def _trace(spans, start, end, launched, waits, tokens):
    n = start.size
    step, zero = np.arange(n), np.zeros(n, np.int64)
    index = NAMES.index
    ranges = [
        Ranges.of(
            start=low,
            end=high,
            thread=zero,
            name=zero + index(name),
            kind=zero + RangeKind.ANNOTATION,
            step=step,
        )
        for name, (low, high) in spans.items()
    ]
    calls = [
        Calls.of(start=launched - LAUNCH_NS, end=launched, thread=zero, name=zero + index("cudaGraphLaunch"),
                 correlation=step + 1),
        Calls.of(start=waits[0], end=waits[1], thread=zero, name=zero + index("event.synchronize"), correlation=zero),
    ]  # fmt: skip
    joined, called = Ranges.joined(ranges), Calls.joined(calls)
    return Trace(
        operations=Operations.of(
            start=start, end=end, kind=zero + OperationKind.GRAPH, device=zero, stream=zero,
            name=zero + index("forward"), correlation=step + 1, step=step, bytes=zero, flops=zero,
        ),
        calls=called.take(np.argsort(called.start, kind="stable")),
        ranges=joined.take(np.argsort(joined.start, kind="stable")),
        counters=Counters.of(time=spans["update"][1], name=zero + index("tokens"), value=zero + tokens),
        names=NAMES,
        devices=(Device(0, 0, "Test GPU", "engine"),),
        streams=("compute",),
        threads=(Thread(0, "host"),),
        meta=Metadata(path="made"),
    )  # fmt: skip
