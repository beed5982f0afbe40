"""transformers' continuous batching, watched: `watch_transformers()` before its manager is made.

transformers has no plugins, so this is one line in the program that serves. Its loop runs in a
thread of its own (`idlescope.capture.transformers` names the methods).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from idlescope.analysis.steps.step_kind import StepKind
from idlescope.watching.engines import plugin
from idlescope.watching.engines.loop import (
    FORWARD,
    PREPARE,
    SCHEDULE,
    TOKENS,
    UPDATE,
    Loop,
    harmless,
    launching,
    phase,
)
from idlescope.watching.engines.replays import Replays, waiting
from idlescope.watching.engines.versions import TRANSFORMERS
from idlescope.watching.patching import around, when_imported, wrap

PACKAGE = "transformers.generation.continuous_batching"


def watch_transformers() -> Loop | None:
    """Watch the loop of transformers' continuous batching in this process; never raises.

    Return the loop, whose `watch` is there once a manager has begun; None: it is not watched, and
    the log "idlescope" says why.
    """
    return plugin.register(TRANSFORMERS, install, asked=True)


def install(loop: Loop) -> None:
    """Wrap its methods as their modules are imported."""
    hooks = TransformersHooks(loop)
    for module, wrapper in (
        ("continuous_api", hooks.wrap_processor),
        ("scheduler", hooks.wrap_schedulers),
        ("model_runner", hooks.wrap_runner),
        ("input_outputs", hooks.wrap_slots),
    ):
        when_imported(f"{PACKAGE}.{module}", wrapper)
    Replays(loop).install()


class TransformersHooks:
    """What its methods tell the watch."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._waiting = waiting(loop, TOKENS)

    # -- what is wrapped -----------------------------------------------------------------------

    def wrap_processor(self, module: ModuleType) -> None:
        """Wrap the batch processor, whose methods the loop calls."""
        processor = module.ContinuousBatchProcessor
        prepared = phase(self.loop, PREPARE)
        plugin.demand(
            self.loop,
            wrap(processor, "_generation_step", around(self.before_step)),
            wrap(processor, "update_batch", phase(self.loop, UPDATE)),
        )
        found = vars(processor).get("prepare_next_batch")
        if found is not None:
            wrap(
                processor,
                "prepare_next_batch",
                lambda call: around(after=self.after_prepare)(prepared(call)),
            )

    def wrap_schedulers(self, module: ModuleType) -> None:
        """Wrap all of its schedulers."""
        for found in list(vars(module).values()):
            if isinstance(found, type) and found.__module__ == module.__name__:
                wrap(found, "schedule_batch", phase(self.loop, SCHEDULE))

    def wrap_runner(self, module: ModuleType) -> None:
        """Wrap the forward pass without a graph, which runs on the stream of its own."""
        forward = launching(self.loop, FORWARD)
        wrap(module.ModelRunner, "_forward_process_and_sample", forward)

    def wrap_slots(self, module: ModuleType) -> None:
        """Wrap the waits for tokens: one or the other, by the mode."""
        wrap(module.ContinuousBatchingIOs, "retrieve_device_outputs", self._waiting)
        wrap(module.ContinuousBatchingAsyncIOs, "prepare_batch_update", self._waiting)

    # -- what they tell ------------------------------------------------------------------------

    @harmless
    def before_step(self, processor: Any, *arguments: Any, **named: Any) -> None:
        """Begin a step, the first of which begins the watch."""
        device = getattr(processor, "model_device", None)
        is_cuda = getattr(device, "type", "cuda") == "cuda"
        self.loop.begin(getattr(device, "index", None) if is_cuda else plugin.NO_CUDA, None)
        self.loop.begin_step(*step_work(processor.inputs_and_outputs))

    @harmless
    def after_prepare(self, processor: Any, *arguments: Any, **named: Any) -> None:
        """Note that there is no request, where the scheduler has none."""
        if not processor.scheduler.has_pending_requests():
            self.loop.demand_ends()


def step_work(slots: Any) -> tuple[int, int, StepKind]:
    """Return the tokens and requests of the batch that is about to run, and what it computes."""
    pairs = getattr(slots, "io_pairs", None)  # asynchronous: two, by turns
    current = pairs[slots.current_pair].host_io if pairs is not None else slots
    batch = current.requests_in_batch
    tokens = sum(request.query_length for request in batch)
    if tokens == len(batch):
        return tokens, len(batch), StepKind.DECODE
    decodes = any(request.query_length == 1 for request in batch)
    return tokens, len(batch), StepKind.MIXED if decodes else StepKind.PREFILL
