"""Fit the host profile `h200-server` to the measured synchronous runs of reports/h200.

    python tests/gpu/calibrate.py host

What each part of a step costs is the mean of the published synchronous run (its recording, 8,192
steps at batch 32). All of it is multiplied by one number, and each row of the batch adds a number
to the engine's own work: these two are fitted to the idle time per step of the sweep, by least
absolute deviations, without every third configuration. Prints the constants for
`idlescope/hardware/latencies.py`, then how the runs come out that were fitted to, and those that
were not.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

import numpy as np

import idlescope
from idlescope.engine.devices.modelled import COPY_FIXED_NS, EVENT_WAIT_NS
from idlescope.engine.devices.step_time import StepWork, step_ns
from idlescope.hardware.gpus import gpu
from idlescope.hardware.latencies import (
    HOST_PROFILES,
    SERVER_HOST,
    Cost,
    HostProfile,
    HostWork,
)
from idlescope.models.presets import model
from tests.make.h200_runs import REPORTS, MeasuredRun, of_sweep, published

GPU = gpu("h200")
HELD_OUT = 3  # every third configuration
PUBLISHED_ROWS = 32
MAX_BATCH_TOKENS = 8192
PHASES = ("schedule", "prepare", "update")


class Replay(NamedTuple):
    """A synchronous run on the modelled GPU."""

    steps: int
    idle_ns: int
    total_ns: int

    @property
    def idle_ms_per_step(self) -> float:
        return self.idle_ns / self.steps / 1e6


def measured_costs() -> dict[str, float]:
    """The mean cost of each part of a step in the published synchronous run, ns."""
    trace = idlescope.open(REPORTS / "published" / "sync.recording")
    operations, calls, ranges = trace.operations, trace.calls, trace.ranges
    steady = slice(1, -1)

    # each stream's operations in the order of steps, and the call of each
    call_of = {int(correlation): row for row, correlation in enumerate(calls.correlation)}
    streams = []
    for stream in range(3):
        of_stream = operations.take(operations.stream == stream)
        of_stream = of_stream.take(np.argsort(of_stream.step))
        rows = np.array(
            [call_of[int(correlation)] for correlation in of_stream.correlation]
        )
        streams.append((of_stream, calls.take(rows)))
    (copy_in, copy_in_call), (forward, graph_call), (copy_out, copy_out_call) = streams

    def phase(name: str):
        found = ranges.take(ranges.name == trace.name_index(name))
        return found.take(found.step >= 0)

    def mean(values) -> float:
        return float(np.mean(values[steady]))

    waits = calls.take(calls.name == trace.name_index("event.synchronize"))
    schedule, prepare, submit, update = map(
        phase, ("schedule", "prepare", "submit", "update")
    )
    calls_ns = [
        mean(call.end - call.start) for call in (copy_in_call, graph_call, copy_out_call)
    ]
    between_steps = mean(schedule.start[1:] - update.end[:-1])
    after_wait = mean(update.start - waits.end)
    return {
        "copy_in_call_ns": calls_ns[0],
        "copy_in_start_ns": mean(copy_in.start - copy_in_call.end),
        "copy_in_ns": mean(copy_in.end - copy_in.start),
        "graph_call_ns": calls_ns[1],
        "graph_start_ns": mean(forward.start - graph_call.end),
        "copy_out_call_ns": calls_ns[2],
        "event_call_ns": (mean(submit.end - submit.start) - sum(calls_ns)) / 5,
        "wake_ns": mean(waits.end - copy_out.end),
        "schedule": mean(schedule.end - schedule.start),
        "prepare": mean(prepare.end - prepare.start),
        # with what recording a step costs after it, and the loop between two
        "update": mean(update.end - update.start) + between_steps + after_wait,
    }


def profile_of(costs: dict[str, float], pace: float, per_row_ns: float) -> HostProfile:
    """The profile of those costs times `pace`; each row of a batch adds `per_row_ns`."""
    work = sum(costs[name] for name in PHASES)

    def phase(name: str) -> Cost:
        slope = per_row_ns * costs[name] / work
        return Cost(pace * costs[name] - PUBLISHED_ROWS * slope, slope)

    parts = {
        field.name: round(pace * costs[field.name])
        for field in fields(HostProfile)
        if field.name.endswith("_ns")
    }
    return HostProfile(key=SERVER_HOST, work=HostWork(*map(phase, PHASES)), **parts)


@lru_cache
def compute_ns(run: MeasuredRun) -> tuple[int, int]:
    """How many steps a run has, and how long their compute takes on the modelled GPU together."""
    rows, architecture = run.batch_size, model(run.model)
    prefill = rows * run.prompt_tokens
    chunks = -(-prefill // MAX_BATCH_TOKENS)
    works = [chunk_work(prefill // chunks, run.prompt_tokens) for _ in range(chunks)]
    works += [
        StepWork(rows, rows, rows * context, rows * context)
        for context in range(run.prompt_tokens + 1, run.prompt_tokens + run.tokens)
    ]
    return len(works), sum(step_ns(architecture, GPU, work) for work in works)


def replay(run: MeasuredRun, host: HostProfile) -> Replay:
    """The synchronous run with that host: the device's steps, and what is between them."""
    assert host.work is not None
    steps, compute = compute_ns(run)
    rows = run.batch_size
    phases = sum(getattr(host.work, name).of(rows) for name in PHASES)
    copy_in_end = host.copy_in_call_ns + host.copy_in_start_ns + host.copy_in_ns
    inputs_there = copy_in_end + EVENT_WAIT_NS
    graph_called = host.copy_in_call_ns + 2 * host.event_call_ns + host.graph_call_ns
    until_compute = max(inputs_there, graph_called + host.graph_start_ns)
    between = phases + until_compute + EVENT_WAIT_NS + COPY_FIXED_NS + host.wake_ns
    copies = host.copy_in_ns + COPY_FIXED_NS
    idle_ns = steps * (between - copies)
    total_ns = compute + steps * between
    return Replay(steps, idle_ns, total_ns)


def chunk_work(tokens: int, prompt_tokens: int) -> StepWork:
    """A step that computes whole prompts of so many tokens together."""
    prompts = tokens // prompt_tokens
    return StepWork(
        tokens, prompts, tokens, prompts * prompt_tokens * (prompt_tokens + 1) // 2
    )


def fit(costs: dict[str, float], runs: list[MeasuredRun]) -> tuple[float, float]:
    """Pace and cost per row with the least sum of absolute errors of idle time per step."""
    best = (np.inf, 0.0, 0.0)
    for pace in np.arange(0.6, 1.3, 0.005):
        for per_row_ns in np.arange(0, 3000, 100):
            host = profile_of(costs, pace, per_row_ns)
            loss = sum(
                abs(replay(run, host).idle_ms_per_step - run.idle_ms_per_step)
                for run in runs
            )
            best = min(best, (loss, float(pace), float(per_row_ns)))
    return best[1:]


def errors_of(run: MeasuredRun, host: HostProfile) -> tuple[float, float]:
    """How wrong the idle share is, in points, and the total time, in per cent."""
    found = replay(run, host)
    idle_pct = 100 * found.idle_ns / found.total_ns
    return idle_pct - run.idle_pct, 100 * (found.total_ns / 1e9 / run.total_s - 1)


def say(title: str, runs: list[MeasuredRun], host: HostProfile) -> None:
    """Print how each run comes out."""
    idle, total = [], []
    print(title)
    for run in runs:
        idle_error, total_error = errors_of(run, host)
        idle.append(idle_error)
        total.append(total_error)
        print(f"  {run.name:40} idle {run.idle_pct:6.2f} % {idle[-1]:+6.2f} points, "
              f"total {run.total_s:7.3f} s {total[-1]:+6.2f} %")  # fmt: skip
    for what, errors in (("idle", np.abs(idle)), ("total", np.abs(total))):
        print(f"  {what}: median {np.median(errors):.2f}, largest {errors.max():.2f}")


def main() -> None:
    """Fit, and print the profile and how the runs come out."""
    costs = measured_costs()
    sync = [run for run in of_sweep() if run.mode == "sync"]
    fitted = [run for index, run in enumerate(sync) if index % HELD_OUT]
    held_out = [run for run in sync if run not in fitted]
    held_out += [run for run in published() if run.mode == "sync"]
    pace, per_row_ns = fit(costs, fitted)
    print(f"pace {pace:.3f}, {per_row_ns:.0f} ns per row")
    host = profile_of(costs, pace, per_row_ns)
    print(host)
    say("fitted to", fitted, host)
    say("held out", held_out, host)
    if SERVER_HOST in HOST_PROFILES:
        say("as it is in hardware/latencies", fitted + held_out, HOST_PROFILES[SERVER_HOST])
