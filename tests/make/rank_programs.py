"""Simulate ranks whose devices run programs of kernels and meetings, and write down the truth.

A program is a list of operations per rank and step. A `Meet` ends when all of its ranks have come
and the transfer is done: until the last has come, the others wait. That is the whole model, so how
long each rank waits is known to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.make.kineto_files import call, operation, span

LAUNCH_NS = 5_000  # a call that launches a graph
REACH_NS = 3_000  # from there to the device
AGO_NS = 1_000_000


class Run(NamedTuple):
    """A kernel that computes."""

    name: str
    ns: int
    stream: int = 7


class Meet(NamedTuple):
    """A kernel in which ranks come together; `among` are their numbers."""

    name: str
    among: tuple[int, ...]
    transfer_ns: int
    stream: int = 7
    said: dict[str, Any] | None = (
        None  # further arguments, as of a collective outside graphs
    )


Program = Callable[[int, int], Sequence["Run | Meet"]]  # rank, step -> operations
HostWork = Callable[[int, int], int]  # rank, step -> ns before the launch


@dataclass(frozen=True)
class Ranks:
    """A job: how many ranks and steps, what they run, and what their hosts do before a launch."""

    ranks: int
    steps: int
    program: Program
    host: HostWork = lambda _rank, _step: 300_000
    asynchronous: bool = False
    eager: bool = False  # launch each operation by a call of its own
    label: Callable[[int, int], str] = lambda _rank, _step: "step[DECODE bs=32]"


@dataclass
class Truth:
    """What happened, by rank. Nanoseconds."""

    events: list[list[dict[str, Any]]]
    waiting: list[int] = field(default_factory=list)
    communication: list[int] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)
    window: list[int] = field(default_factory=list)

    @property
    def waiting_pct(self) -> list[float]:
        """The share of each rank's window in which it waits for others."""
        return [
            100 * part / whole
            for part, whole in zip(self.waiting, self.window, strict=True)
        ]

    @property
    def idle_pct(self) -> list[float]:
        """The share of each rank's window in which its device runs nothing."""
        return [
            100 - 100 * part / whole
            for part, whole in zip(self.busy, self.window, strict=True)
        ]


class _Done(NamedTuple):
    operation: Run | Meet
    start: int
    end: int
    waited: int


def simulate(job: Ranks) -> Truth:
    """Run a job step by step and return its Kineto events with the truth."""
    events: list[list[dict[str, Any]]] = [[] for _ in range(job.ranks)]
    device_free = [AGO_NS] * job.ranks
    host_free = [AGO_NS] * job.ranks
    ended: list[list[int]] = [[] for _ in range(job.ranks)]
    sums = [[0, 0, 0] for _ in range(job.ranks)]
    first, last = [0] * job.ranks, [0] * job.ranks
    correlation = 0
    for step in range(job.steps):
        launched = []
        for rank in range(job.ranks):
            begun = host_free[rank]
            launch = begun + job.host(rank, step)
            events[rank] += _host_events(job, rank, step, begun, launch, correlation)
            launched.append(launch)
        done = _device(job, step, launched, device_free)
        for rank, operations in enumerate(done):
            for number, one in enumerate(operations):
                own = correlation + (number if job.eager else 0) + 1
                events[rank].append(_device_event(one, rank, own))
                sums[rank][0] += one.waited
                if isinstance(one.operation, Meet):
                    sums[rank][1] += one.end - one.start
                sums[rank][2] += one.end - one.start
            device_free[rank] = operations[-1].end
            ended[rank].append(operations[-1].end)
            first[rank] = first[rank] or operations[0].start
            last[rank] = operations[-1].end
            waits_for = step - 1 if job.asynchronous else step
            after_launch = launched[rank] + _launch_ns(job, rank, step)
            if waits_for >= 0:
                until = max(ended[rank][waits_for], after_launch) + 4_000
                wait = call(after_launch + 1_000, until, 0, "cudaEventSynchronize")
                events[rank].append(wait)
                host_free[rank] = until + 20_000
            else:
                host_free[rank] = after_launch + 20_000
        correlation += 1000
    return Truth(
        events,
        waiting=[one[0] for one in sums],
        communication=[one[1] for one in sums],
        busy=[one[2] for one in sums],
        window=[end - start for start, end in zip(first, last, strict=True)],
    )


def _launch_ns(job: Ranks, rank: int, step: int) -> int:
    return LAUNCH_NS * (len(job.program(rank, step)) if job.eager else 1)


def _host_events(
    job: Ranks, rank: int, step: int, begun: int, launch: int, correlation: int
) -> list[dict[str, Any]]:
    """The spans and calls of SGLang's scheduler in one step."""
    end = launch + _launch_ns(job, rank, step)
    half = (begun + launch) // 2
    made = [
        span(begun, half, "scheduler.get_next_batch_to_run"),
        span(half, end, "scheduler.run_batch"),
        span(half + 1000, end, job.label(rank, step)),
    ]
    if not job.eager:
        return [*made, call(launch, end, correlation + 1, "cudaGraphLaunch")]
    for number in range(len(job.program(rank, step))):
        start = launch + number * LAUNCH_NS
        made.append(call(start, start + LAUNCH_NS - 500, correlation + number + 1))
    return made


def _device(
    job: Ranks, step: int, launched: Sequence[int], device_free: Sequence[int]
) -> list[list[_Done]]:
    """Let the devices run a step's operations, each in order; meetings join them."""
    programs = [list(job.program(rank, step)) for rank in range(job.ranks)]
    done: list[list[_Done]] = [[] for _ in range(job.ranks)]
    now = list(device_free)
    arrived: dict[int, int] = {}
    left = sum(map(len, programs))
    while left:
        before = left
        for rank, program in enumerate(programs):
            while len(done[rank]) < len(program):
                number = len(done[rank])
                one = program[number]
                issued = (
                    launched[rank] + LAUNCH_NS * (number if job.eager else 0) + REACH_NS
                )
                start = max(now[rank], issued)
                if isinstance(one, Run):
                    now[rank] = start + one.ns
                    done[rank].append(_Done(one, start, now[rank], 0))
                    left -= 1
                    continue
                arrived[rank] = start
                if not _met(one, rank, programs, done, arrived):
                    break
                latest = max(arrived[other] for other in one.among)
                for other in one.among:
                    came = arrived.pop(other)
                    now[other] = latest + one.transfer_ns
                    own = programs[other][len(done[other])]
                    done[other].append(_Done(own, came, now[other], latest - came))
                    left -= 1
        if left == before:
            raise ValueError("the ranks wait for each other for ever")
    return done


def _met(
    meeting: Meet,
    rank: int,
    programs: Sequence[Sequence[Run | Meet]],
    done: Sequence[Sequence[_Done]],
    arrived: dict[int, int],
) -> bool:
    """Whether all ranks of a meeting stand before it."""
    for other in meeting.among:
        if other == rank:
            continue
        number = len(done[other])
        own = programs[other][number] if number < len(programs[other]) else None
        if not isinstance(own, Meet) or own.among != meeting.among or other not in arrived:
            return False
    return True


def _device_event(one: _Done, rank: int, correlation: int) -> dict[str, Any]:
    what = one.operation
    made = operation(
        one.start,
        one.end,
        correlation=correlation,
        device=rank,
        stream=what.stream,
        name=what.name,
    )
    if isinstance(what, Meet) and what.said:
        made["args"] |= what.said
    return made
