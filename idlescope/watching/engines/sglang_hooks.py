"""What SGLang's methods tell a watch.

A scheduler's loop (normal or overlapped) receives requests, gets the next batch, runs it
(`run_batch`: a step begins) and processes a result: of this batch, or, overlapped, of the one
before. Without requests it goes round and round, past `on_idle`.
"""

from __future__ import annotations

from threading import get_ident
from types import ModuleType
from typing import Any

from idlescope.analysis.steps.step_kind import StepKind
from idlescope.watching.engines import plugin
from idlescope.watching.engines.loop import (
    FORWARD,
    RECEIVE,
    SAMPLE,
    SCHEDULE,
    UPDATE,
    Loop,
    harmless,
    launching,
    launching_from,
    phase,
)
from idlescope.watching.engines.replays import (
    Replays,
    Waits,
    close_wait,
    open_wait,
    waiting,
)
from idlescope.watching.patching import around, when_imported, wrap
from idlescope.watching.safety import described

# Forward passes without a graph; those with one are told by its replay.
EAGER_FORWARDS = (
    "forward_decode",
    "forward_extend",
    "forward_idle",
    "forward_split_prefill",
)


def install(loop: Loop) -> None:
    """Wrap SGLang's methods as their modules are imported."""
    hooks = SglangHooks(loop)
    managers = "sglang.srt.managers"
    for module, wrapper in (
        ("sglang.srt.model_executor.model_runner", hooks.wrap_runner),
        (f"{managers}.scheduler", hooks.wrap_scheduler),
        (f"{managers}.scheduler_components.request_receiver", hooks.wrap_receiver),
        (f"{managers}.scheduler_components.batch_result_processor", hooks.wrap_results),
    ):
        when_imported(module, wrapper)
    Replays(loop).install()
    Waits(loop).install()


class SglangHooks:
    """What SGLang's methods tell the watch."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    # -- what is wrapped -----------------------------------------------------------------------

    def wrap_runner(self, module: ModuleType) -> None:
        """Wrap the model runner."""
        runner = module.ModelRunner
        launch = launching(self.loop, FORWARD)
        plugin.demand(self.loop, wrap(runner, "load_model", around(self.before_load_model)))
        for name in EAGER_FORWARDS:
            wrap(runner, name, launch)
        # to the end of `run_batch`
        wrap(runner, "sample", launching_from(self.loop, SAMPLE))

    def wrap_scheduler(self, module: ModuleType) -> None:
        """Wrap the scheduler."""
        scheduler = module.Scheduler
        wrap(scheduler, "__init__", around(plugin.before_context))
        plugin.demand(
            self.loop,
            wrap(scheduler, "run_batch", around(self.before_step, self.after_run)),
        )
        wrap(scheduler, "get_next_batch_to_run", phase(self.loop, SCHEDULE))
        wrap(scheduler, "recv_requests", phase(self.loop, RECEIVE))  # of older versions
        wrap(scheduler, "process_input_requests", phase(self.loop, RECEIVE))
        wrap(scheduler, "process_batch_result", phase(self.loop, UPDATE))
        sample_later = around(self.before_late_sample, self.after_late_sample)
        wrap(scheduler, "launch_batch_sample_if_needed", sample_later)
        # which sleeps for up to a second, if it is told to
        wrap(scheduler, "on_idle", around(self.around_on_idle, self.around_on_idle))

    def wrap_receiver(self, module: ModuleType) -> None:
        """Wrap what receives requests, and hands them to the other ranks."""
        wrap(module.SchedulerRequestReceiver, "recv_requests", phase(self.loop, RECEIVE))

    def wrap_results(self, module: ModuleType) -> None:
        """Wrap where a synchronous loop waits for tokens: `.tolist()` of a tensor on the device."""
        processor = module.SchedulerBatchResultProcessor
        wrap(processor, "_normalize_decode_outputs", waiting(self.loop))
        # Of a prefill it comes first, and is done before this is called.
        if wrap(processor, "move_logprobs_to_cpu", around(self.tokens_came)):
            of_prefill = around(self.before_prefill_result, self.tokens_came)
            wrap(processor, "process_batch_result_prefill", of_prefill)

    # -- steps ---------------------------------------------------------------------------------

    @harmless
    def before_load_model(self, runner: Any, *arguments: Any, **named: Any) -> None:
        """Begin to watch: this process has a model runner, its device is set, no graph is made."""
        is_cuda = str(getattr(runner, "device", "cuda")).startswith("cuda")
        device = getattr(runner, "gpu_id", None) if is_cuda else plugin.NO_CUDA
        settings = getattr(runner, "server_args", None)
        overlaps = not getattr(settings, "disable_overlap_schedule", True)
        self.loop.begin(device, rank_of(runner), overlaps)

    def before_step(
        self, scheduler: Any, batch: Any, *arguments: Any, **named: Any
    ) -> None:
        """Begin a step."""
        loop = self.loop
        if loop.watch is None or loop.off:
            return
        try:
            if not batch.forward_mode.is_prebuilt():
                loop.begin_step(*step_work(batch))
                loop.begin_prepare()
        except Exception as error:
            loop.turn_off(described(error))

    def after_run(self, *arguments: Any, **named: Any) -> None:
        """End what is launched: sampling, and what follows it."""
        if self.loop.active == get_ident():
            self.loop.shut()
            self.loop.end_prepare()

    @harmless
    def around_on_idle(self, scheduler: Any, *arguments: Any, **named: Any) -> None:
        """Note that there is no request, where the scheduler says that it has nothing to do."""
        if self.loop.has_demand and self.loop.is_here() and is_idle(scheduler):
            self.loop.demand_ends()

    # -- within a step -------------------------------------------------------------------------

    @harmless
    def before_prefill_result(self, *arguments: Any, **named: Any) -> None:
        """Begin to wait for the tokens of a prefill."""
        open_wait(self.loop)

    @harmless
    def tokens_came(self, *arguments: Any, **named: Any) -> None:
        """End that wait."""
        if self.loop.active == get_ident():
            close_wait(self.loop)

    @harmless
    def before_late_sample(
        self, scheduler: Any, result: Any, *arguments: Any, **named: Any
    ) -> None:
        """Begin what is launched: sampling that waited for a grammar."""
        if getattr(result, "delay_sample_func", None) is not None:
            self.loop.open(SAMPLE)

    @harmless
    def after_late_sample(self, *arguments: Any, **named: Any) -> None:
        """End what is launched."""
        self.loop.shut()


def step_work(batch: Any) -> tuple[int, int, StepKind]:
    """Return the tokens and requests of a batch, and what it computes."""
    requests = len(batch.reqs)
    mode = batch.forward_mode
    if mode.is_idle():
        return 0, 0, StepKind.EMPTY
    if mode.is_extend():
        tokens = int(batch.extend_num_tokens or 0)
        return tokens, requests, StepKind.MIXED if mode.is_mixed() else StepKind.PREFILL
    return requests, requests, StepKind.DECODE


def is_idle(scheduler: Any) -> bool:
    """Return whether a scheduler has no request at all."""
    ask = getattr(scheduler, "is_fully_idle", None)
    return True if ask is None else bool(ask())


def rank_of(runner: Any) -> int | None:
    """Return the rank of a model runner among all of its engine: tensor and pipeline parallel."""
    tensor = getattr(runner, "tp_rank", None)
    if tensor is None:
        return None
    return int(getattr(runner, "pp_rank", 0) * getattr(runner, "tp_size", 1) + tensor)
