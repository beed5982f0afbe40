"""Make recordings of serving loops of every sort, whose batching, steps and idle time are known from construction.

A `Plan` says how the host launches, waits and names what it does. `recorded` plays it: one host
clock, one device that runs what it is given in order. What is true of it follows from the plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.make.kineto_files import call, operation, span

US, MS = 1_000, 1_000_000
ARRIVAL_NS = 8 * US  # from a launch to its start on an idle device
BETWEEN_NS = 1 * US  # between kernels that follow one another

# Spans of an engine's step: around scheduling, preparing, launching, and what follows the wait.
NO_SPANS = ("", "", "", "")
VLLM_V1 = (
    "schedule: allocate_slots",
    "gpu_model_runner: preprocess",
    "gpu_model_runner: forward",
    "gpu_model_runner: bookkeep",
)
SGLANG = (
    "scheduler.get_next_batch_to_run",
    "",
    "scheduler.run_batch",
    "scheduler.process_batch_result",
)
TRTLLM = ("_schedule", "_prepare_tp_inputs", "_forward_step", "_handle_responses")
LMDEPLOY = (
    "schedule_decoding",
    "build_step_context",
    "forward_cudagraph",
    "make_infer_outputs",
)
TRANSFORMERS = (
    "cb:schedule_batch",
    "cb:prepare_batch_tensors",
    "cb:compute_batch",
    "cb:update_batch",
)
OWN = ("mine/plan", "mine/pack", "mine/run", "mine/finish")  # of no engine that is known


@dataclass(frozen=True)
class Names:
    """What calls are called."""

    kernel: str = "cudaLaunchKernel"
    graph: str = "cudaGraphLaunch"
    copy: str = "cudaMemcpyAsync"
    record: str = "cudaEventRecord"


CUDA = Names()
HIP = Names("hipLaunchKernel", "hipGraphLaunch", "hipMemcpyAsync", "hipEventRecord")
XPU = Names(
    "urEnqueueKernelLaunch",
    "urEnqueueKernelLaunch",
    "urEnqueueUSMMemcpy",
    "urEnqueueEventsWait",
)


@dataclass(frozen=True)
class Plan:
    """How a loop serves."""

    steps: int = 20
    depth: int = 1  # steps in flight: 1 is synchronous
    kernels: int = 10
    kernel_ns: int = 600 * US
    schedule_ns: int = 700 * US
    prepare_ns: int = 500 * US
    after_ns: int = 400 * US
    graphs: int = 1  # replays per step; 0: kernels are launched one by one
    launch_ns: int = 6 * US  # of one launch call
    wait: str = "cudaEventSynchronize"  # "copy": a blocking copy; "query": polls an event
    spans: tuple[str, str, str, str] = NO_SPANS
    around: str = ""  # a span around each step's launch and wait, `{n}` is its number
    names: Names = CUDA
    prefill_every: int = (
        0  # every so many steps one has a prompt, launched kernel by kernel
    )
    prefill_around: str = ""
    prefill_ns: int = 25 * MS
    pauses: dict[int, int] = field(
        default_factory=dict
    )  # ns without anything, before a step
    launching_tid: int = 100  # 200: another thread launches and waits
    outputs_tid: int = 0  # another thread that waits for each step
    offloaded_ns: int = 0  # of copying weights from the host before each step's kernels
    value_after: int = (
        0  # launches of a step after which it reads a value, and works with it
    )
    value_ns: int = 300 * US
    small_copy: bool = False  # a blocking copy of inputs from unpinned memory in each step


@dataclass
class _Play:
    plan: Plan
    events: list[dict[str, Any]] = field(default_factory=list)
    now: int = 1 * MS
    free: int = 0  # when the device has ended what it was given
    id: int = 0

    def spend(self, ns: int, name: str = "") -> None:
        if name:
            self.events.append(span(self.now, self.now + ns, name))
        self.now += ns

    def call(self, name: str, ns: int, correlation: int = 0) -> None:
        tid = self.plan.launching_tid
        self.events.append(call(self.now, self.now + ns, correlation, name, tid))
        self.now += ns

    def run(self, name: str, ns: int, kind: str = "kernel") -> int:
        """Run an operation that the launch begun last put on the device; return its end."""
        start = max(self.free + BETWEEN_NS, self.now + ARRIVAL_NS)
        self.free = start + ns
        self.events.append(operation(start, self.free, kind, self.id, name=name))
        return self.free

    def launch(self, graphs: int, kernel_ns: int) -> int:
        """Launch a forward pass; return when it will have ended."""
        plan = self.plan
        for part in range(graphs or plan.kernels):
            self.id += 1
            for kernel in range(plan.kernels // graphs if graphs else 1):
                self.run(f"gemm_{part if not graphs else kernel}", kernel_ns)
            name = plan.names.graph if graphs else plan.names.kernel
            self.call(name, plan.launch_ns, self.id)
            if part + 1 == plan.value_after:
                end = self.tokens("Memcpy DtoH (Device -> Pageable)")
                self.wait_until(end, "cudaStreamSynchronize")
                self.spend(plan.value_ns)
        return self.free

    def tokens(self, name: str) -> int:
        """Launch the copy of a step's tokens; return when it will have ended."""
        self.id += 1
        end = self.run(name, 3 * US, "memcpy")
        self.call(self.plan.names.copy, 5 * US, self.id)
        return end

    def wait_until(self, end: int, name: str) -> None:
        self.call(name, max(end - self.now, 0) + 6 * US)


def recorded(plan: Plan) -> list[dict[str, Any]]:
    """Return the Kineto events of a loop."""
    play, ends = _Play(plan), list[int]()
    schedule, prepare, forward, after = plan.spans
    for number in range(plan.steps):
        play.now += plan.pauses.get(number, 0)
        play.spend(plan.schedule_ns, schedule)
        play.spend(plan.prepare_ns, prepare)
        if plan.small_copy:
            play.id += 1
            end = play.run("Memcpy HtoD (Pageable -> Device)", 2 * US, "memcpy")
            play.call(plan.names.copy, end - play.now + 2 * US, play.id)
        begin = play.now
        if plan.offloaded_ns:
            play.id += 1
            play.run("Memcpy HtoD (Pinned -> Device)", plan.offloaded_ns, "memcpy")
            play.call(plan.names.copy, 5 * US, play.id)
        is_prefill = plan.prefill_every and number % plan.prefill_every == 0
        if is_prefill:
            play.launch(0, plan.prefill_ns // plan.kernels)
        else:
            play.launch(plan.graphs, plan.kernel_ns)
        _launches_end(play, begin, forward, number, bool(is_prefill))
        ends.append(_retrieve(play, ends, number))
        if number >= plan.depth - 1:  # there are tokens to take in
            play.spend(plan.after_ns, after)
    return play.events


def _launches_end(
    play: _Play, begin: int, forward: str, number: int, is_prefill: bool
) -> None:
    plan, tid = play.plan, play.plan.launching_tid
    if forward:
        play.events.append(span(begin, play.now, forward, tid=tid))
    around = plan.prefill_around if is_prefill else plan.around
    if around:
        play.events.append(
            span(begin, play.now, around.replace("{n}", str(number)), tid=tid)
        )


def _retrieve(play: _Play, ends: list[int], number: int) -> int:
    """Take the tokens of the step that is due; return when this step's are on the host."""
    plan = play.plan
    if plan.wait == "copy" and plan.depth == 1:
        play.id += 1
        end = play.run("Memcpy DtoH (Device -> Pageable)", 3 * US, "memcpy")
        play.call(plan.names.copy, end - play.now + 6 * US, play.id)
        return end
    if plan.wait.startswith(("cudaMemcpy", "hipMemcpy")) and plan.depth == 1:
        play.id += 1
        end = play.run("Memcpy DtoH (Device -> Pageable)", 3 * US, "memcpy")
        play.call(plan.wait, end - play.now + 6 * US, play.id)
        return end
    end = play.tokens("Memcpy DtoH (Device -> Pinned)")
    play.call(plan.names.record, 2 * US)
    due = number - plan.depth + 1
    if plan.outputs_tid:
        wake = call(play.now, end + 6 * US, 0, "cudaEventSynchronize", plan.outputs_tid)
        play.events.append(wake)
    if due < 0:
        return end
    if plan.outputs_tid:  # the next batch comes when that thread has the tokens
        play.now = max(play.now, ends[due] + 6 * US)
    until = end if due == number else ends[due]
    if plan.wait == "query":
        while play.now < until:
            play.call("cudaEventQuery", 2 * US)
            play.now += 50 * US
        return end
    if plan.wait:
        play.wait_until(until, plan.wait)
    return end
