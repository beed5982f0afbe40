"""Make Kineto events of serving engines' loops: spans, launches, waits and operations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.make.kineto_files import call, operation, span

US, MS = 1_000, 1_000_000
KERNELS = 4
HOST_NS, KERNEL_NS = 300 * US, 1 * MS


@dataclass
class Loop:
    """A host that launches forward passes, and a device that runs them in order."""

    events: list[dict[str, Any]] = field(default_factory=list)
    now: int = 0  # of the host
    free: int = 0  # when the device has ended what was launched
    correlation: int = 0

    def pause(self, ns: int, name: str = "") -> None:
        """Let the host do nothing for a while, or stay in a span of this name."""
        if name:
            self.events.append(span(self.now, self.now + ns, name))
        self.now += ns

    def launch(self, name: str = "", graph: bool = True, kernel_ns: int = KERNEL_NS) -> int:
        """Launch a forward pass, in a span of this name; return when it will have ended."""
        begin = self.now
        self.now += HOST_NS
        names = ["cudaGraphLaunch"] if graph else ["cudaLaunchKernel"] * KERNELS
        start = max(self.free, self.now + 10 * US)
        for launch, launch_name in enumerate(names):
            self.correlation += 1
            self.events.append(
                call(self.now, self.now + 5 * US, self.correlation, launch_name)
            )
            self.now += 5 * US
            for kernel in range(KERNELS if graph else 1):
                end = start + kernel_ns
                name_of = f"gemm_{kernel + launch}"
                self.events.append(
                    operation(start, end, correlation=self.correlation, name=name_of)
                )
                start = end
        self.free = start
        if name:
            self.events.append(span(begin, self.now, name))
        return self.free

    def wait(self, until: int, name: str = "cudaEventSynchronize") -> None:
        """Wait for what ends then."""
        end = max(until, self.now) + 5 * US
        self.events.append(call(self.now, end, 0, name))
        self.now = end


DECODE = "execute_context_0(0)_generation_8(8)"
NOTHING = "execute_context_0(0)_generation_0(0)"


def sglang_overlapped(
    steps: int, paused: dict[int, int] | None = None
) -> list[dict[str, Any]]:
    """An asynchronous SGLang: each step's tokens are waited for after the next is launched.

    `paused` has for some steps how long the host stays in `run_batch` before it launches.
    """
    loop, ends = Loop(), []
    for step in range(steps):
        loop.pause(100 * US, "scheduler.get_next_batch_to_run")
        begin = loop.now
        loop.now += (paused or {}).get(step, 0)
        ends.append(loop.launch("step[DECODE bs=32]"))
        loop.events.append(span(begin, loop.now, "scheduler.run_batch"))
        begin = loop.now
        if step:
            loop.wait(ends[step - 1])
        loop.events.append(
            span(begin, loop.now + 50 * US, "scheduler.process_batch_result")
        )
        loop.now += 50 * US
    return loop.events


def sglang_two_threads(steps: int, synchronous: bool) -> list[dict[str, Any]]:
    """An SGLang whose scheduler hands each batch to a thread that launches it and waits.

    The scheduler's result of a step comes when that thread has waited: for this step where it is
    synchronous, else for the one before.
    """
    launching = Loop()
    events: list[dict[str, Any]] = []
    ends: list[int] = []
    now = 0
    for step in range(steps):
        events.append(span(now, now + 400 * US, "scheduler.get_next_batch_to_run"))
        now += 400 * US
        events.append(span(now, now + 30 * US, "scheduler.run_batch"))
        now += 30 * US
        launching.now = max(launching.now, now)
        ends.append(launching.launch("step[DECODE bs=32]"))
        waited = step if synchronous else step - 1
        if waited >= 0:
            launching.wait(ends[waited])
        # without a step before it, its first result is at hand
        end = launching.now if waited >= 0 else now + 100 * US
        events.append(span(now, end + 50 * US, "scheduler.process_batch_result"))
        now = end + 50 * US
    return events + [event | {"tid": 200} for event in launching.events if event["pid"] == 50] + [
        event for event in launching.events if event["pid"] != 50
    ]  # fmt: skip


def vllm_bursts(bursts: int, steps: int, pause_ns: int) -> list[dict[str, Any]]:
    """A synchronous vLLM that has requests for some steps, then none for a while."""
    loop = Loop()
    for _ in range(bursts):
        for _ in range(steps):
            loop.wait(loop.launch(DECODE))
        loop.pause(pause_ns)
    return loop.events


def vllm_starved(rounds: int, worked: int, empty: int) -> list[dict[str, Any]]:
    """A vLLM whose scheduler finds no room for its requests most of the time."""
    loop = Loop()
    for _ in range(rounds):
        for _ in range(empty):
            loop.pause(80 * US, NOTHING)
            loop.pause(900 * US)
        for _ in range(worked):
            loop.wait(loop.launch(DECODE))
    return loop.events


def vllm_dummies(worked: int, dummies: int) -> list[dict[str, Any]]:
    """A data-parallel rank of vLLM: a few steps, then dummy batches, which have no span."""
    loop = Loop()
    for _ in range(worked):
        loop.wait(loop.launch(DECODE))
    for _ in range(dummies):
        loop.wait(loop.launch())
    return loop.events


def sglang_idle_rank(steps: int) -> list[dict[str, Any]]:
    """A data-parallel rank of SGLang without requests."""
    loop = Loop()
    for _ in range(steps):
        loop.pause(100 * US, "scheduler.get_next_batch_to_run")
        begin = loop.now
        end = loop.launch("step[IDLE bs=0]")
        loop.events.append(span(begin, loop.now, "scheduler.run_batch"))
        loop.wait(end)
    return loop.events


def prefills_and_decodes(pairs: int, spans: bool = False) -> list[dict[str, Any]]:
    """A loop whose prefills are launched kernel by kernel and whose decodes are graphs."""
    loop = Loop()
    for _ in range(pairs):
        prefill = "execute_context_1(500)_generation_0(0)" if spans else ""
        loop.wait(loop.launch(prefill, graph=False, kernel_ns=4 * MS))
        loop.wait(loop.launch(DECODE if spans else ""))
    return loop.events


def in_turns(steps: int, first: bool) -> list[dict[str, Any]]:
    """One of two processes that share a GPU, which runs a step of each in turns."""
    step_ns = 4 * MS
    events: list[dict[str, Any]] = []
    for step in range(steps):
        start = (2 * step + (0 if first else 1)) * step_ns
        issued = max(0, start - step_ns + 100 * US)
        events += [
            call(issued, issued + 5 * US, step + 1, "cudaGraphLaunch"),
            operation(start, start + step_ns, correlation=step + 1),
            call(issued + 10 * US, start + step_ns + 5 * US, 0, "cudaEventSynchronize"),
        ]
    return events
