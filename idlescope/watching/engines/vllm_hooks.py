"""What vLLM's methods tell a watch.

There are two model runners, of one shape (0.24 to 0.33): `execute_model` prepares the inputs and
runs the model, `sample_tokens` samples, and `get_output` of what that returns waits for the tokens.
A step begins with `execute_model`: with tensor parallelism, the scheduler is another process.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from idlescope.analysis.steps.step_kind import StepKind
from idlescope.watching.engines import plugin
from idlescope.watching.engines.loop import (
    FORWARD,
    SAMPLE,
    SCHEDULE,
    TOKENS,
    UPDATE,
    Loop,
    harmless,
    launching,
    launching_from,
    phase,
)
from idlescope.watching.engines.replays import Replays, waiting
from idlescope.watching.patching import around, when_imported, wrap

RUNNERS = ("vllm.v1.worker.gpu.model_runner", "vllm.v1.worker.gpu_model_runner")


def install(loop: Loop) -> None:
    """Wrap vLLM's methods as their modules are imported."""
    hooks = VllmHooks(loop)
    for module in RUNNERS:
        when_imported(module, hooks.wrap_runner)
    for module, wrapper in (
        ("vllm.v1.worker.gpu.cudagraph_utils", hooks.wrap_graphs),
        ("vllm.v1.worker.gpu.async_utils", hooks.wrap_output),
        ("vllm.v1.worker.gpu_worker", hooks.wrap_worker),
        ("vllm.v1.core.sched.scheduler", hooks.wrap_scheduler),
        ("vllm.v1.sample.rejection_sampler", hooks.wrap_rejection),
    ):
        when_imported(module, wrapper)
    Replays(loop).install()


class VllmHooks:
    """What vLLM's methods tell the watch."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._waiting = waiting(loop, TOKENS)
        self._forward = launching_from(loop, FORWARD)  # to the end of `execute_model`

    # -- what is wrapped -----------------------------------------------------------------------

    def wrap_runner(self, module: ModuleType) -> None:
        """Wrap a model runner: the newer one runs models within `set_forward_context`."""
        runner = module.GPUModelRunner
        step = around(self.before_step, self.after_step)
        plugin.demand(
            self.loop,
            wrap(runner, "__init__", around(after=self.after_init)),
            wrap(runner, "execute_model", step),
            wrap(runner, "sample_tokens", launching(self.loop, SAMPLE)),
        )
        if not wrap(runner, "_model_forward", self._forward):
            wrap(module, "set_forward_context", self._within_context)
        wrap(runner, "_to_list", self._waiting)
        self._wrap_outputs(module)

    def wrap_graphs(self, module: ModuleType) -> None:
        """Wrap the replay of a whole step's graph, of the newer model runner."""
        for name in ("ModelCudaGraphManager", "CudaGraphManager"):
            manager = getattr(module, name, None)
            if manager is not None:
                wrap(manager, "run_fullgraph", self._forward)

    def wrap_output(self, module: ModuleType) -> None:
        """Wrap the wait for tokens of the newer model runner."""
        self._wrap_outputs(module)

    def wrap_worker(self, module: ModuleType) -> None:
        """Wrap what first uses the device, and a data-parallel rank's batch without requests."""
        wrap(module.Worker, "init_device", around(plugin.before_context))
        dummy = around(self.before_dummy, self.after_dummy)
        wrap(module.Worker, "execute_dummy_batch", dummy)

    def wrap_scheduler(self, module: ModuleType) -> None:
        """Wrap the scheduler, which counts where it is in the process of the model runner."""
        wrap(module.Scheduler, "schedule", phase(self.loop, SCHEDULE))
        wrap(module.Scheduler, "update_from_output", phase(self.loop, UPDATE))

    def wrap_rejection(self, module: ModuleType) -> None:
        """Wrap the wait for tokens of speculative decoding, of the older model runner."""
        wrap(module.RejectionSampler, "parse_output", self._waiting)

    def _wrap_outputs(self, module: ModuleType) -> None:
        for name, found in list(vars(module).items()):
            made_here = getattr(found, "__module__", "") == module.__name__
            if name.startswith("Async") and isinstance(found, type) and made_here:
                wrap(found, "get_output", self._waiting)

    # -- steps ---------------------------------------------------------------------------------

    @harmless
    def after_init(self, runner: Any, *arguments: Any, **named: Any) -> None:
        """Begin to watch: this process has a model runner, and its device is set."""
        parallel = getattr(runner.vllm_config, "parallel_config", None)
        scheduling = getattr(runner.vllm_config, "scheduler_config", None)
        device = getattr(runner, "device", None)
        is_cuda = getattr(device, "type", "") == "cuda"
        index = device.index if is_cuda and device is not None else None
        overlaps = bool(getattr(scheduling, "async_scheduling", None))
        rank = getattr(parallel, "rank", None)
        self.loop.begin(index if is_cuda else -1, rank, overlaps)

    @harmless
    def before_step(self, runner: Any, output: Any, *arguments: Any, **named: Any) -> None:
        """Begin a step, unless there is nothing to compute or vLLM warms up."""
        tokens = output.total_num_scheduled_tokens
        if tokens and not _is_dummy(arguments, named):
            requests = len(output.num_scheduled_tokens)
            self.loop.begin_step(tokens, requests, step_kind(output))
            self.loop.begin_prepare()

    @harmless
    def after_step(self, runner: Any, output: Any, *arguments: Any, **named: Any) -> None:
        """End what is launched; a step of no tokens tells that the last requests are gone."""
        self.loop.shut()
        self.loop.end_prepare()
        if not output.total_num_scheduled_tokens and requests_left(runner) == 0:
            self.loop.demand_ends()

    @harmless
    def before_dummy(self, *arguments: Any, **named: Any) -> None:
        """Begin a step without requests: other ranks have some."""
        self.loop.begin_step(0, 0, StepKind.EMPTY)
        self.loop.open(FORWARD)

    @harmless
    def after_dummy(self, *arguments: Any, **named: Any) -> None:
        """End it."""
        self.loop.shut()
        if self.loop.watch is not None and self.loop.is_here():
            self.loop.watch.end_step()

    # -- within a step -------------------------------------------------------------------------

    def _within_context(self, context: Any) -> Any:
        """Return the context manager of a forward pass, entered before what is launched."""
        loop = self.loop

        class Launching:
            """Enters the engine's context, then begins what is launched."""

            def __init__(self, *arguments: Any, **named: Any) -> None:
                self._context = context(*arguments, **named)

            def __enter__(self) -> Any:
                entered = self._context.__enter__()
                loop.open(FORWARD)
                return entered

            def __exit__(self, *exception: Any) -> Any:
                return self._context.__exit__(*exception)

        return Launching


def step_kind(output: Any) -> StepKind:
    """Return what a step computes, by what vLLM scheduled for it."""
    tokens, by_request = output.total_num_scheduled_tokens, output.num_scheduled_tokens
    drafts = output.scheduled_spec_decode_tokens
    drafted = sum(map(len, drafts.values())) if drafts else 0
    if tokens == len(by_request) + drafted and not output.scheduled_new_reqs:
        return StepKind.DECODE
    decodes = sum(
        count == 1 + len(drafts.get(request, ())) for request, count in by_request.items()
    )
    return StepKind.MIXED if decodes else StepKind.PREFILL


def requests_left(runner: Any) -> int | None:
    """Return how many requests a model runner has; None: it does not say."""
    states = getattr(runner, "req_states", None)  # of the newer one
    held = getattr(states, "req_id_to_index", None)
    if held is None:
        held = getattr(runner, "requests", None)
    return None if held is None else len(held)


def _is_dummy(arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Return whether a call of `execute_model` only warms up: of the newer model runner."""
    return bool(named.get("dummy_run") or (len(arguments) > 1 and arguments[1]))
