"""transformers' continuous batching as it comes, with its methods wrapped as ranges and recorded by the step clock.

It has no spans of its own. Its methods are wrapped on the objects of one run, where they are looked up; nothing of the
library is changed. Read in transformers 5.17 and 5.23, whose loop runs in a thread of its own:
`prepare_next_batch` → `get_model_kwargs` → `compute_batch` → `retrieve_device_outputs` → `update_batch`, where
asynchronously the last is that of the step before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import fields
from importlib.metadata import version
from logging import CRITICAL
from typing import Any, NamedTuple

from idlescope.capture.ranges import Range
from idlescope.capture.step_clock import StepClock
from idlescope.engine.clock import SystemClock
from idlescope.engine.devices.base import COMPUTE, DeviceOperation
from idlescope.engine.requests import Finish, Request
from idlescope.errors import ConfigError, EngineError
from idlescope.models.architecture import Model
from idlescope.trace.model import OperationKind

LEAST_VERSION = "5.17"
POLL_S = 0.1  # how often the caller of `serve` is told how far it is
STOP_S = 60.0  # to wait for the loop's thread
BLOCK_TOKENS = 256  # of a KV block, unless it is told otherwise
MARGIN = 0.2  # its scheduler holds prompts back where less than 15 % of the KV blocks are free


class Method(NamedTuple):
    """A method that is wrapped: a range `cb:NAME`."""

    name: str
    owner: str  # attribute of the batch processor that has it; "": the processor itself
    category: str  # of the range: its colour
    outer: bool  # called by the loop itself, not by another of these: together they are a step's host work


METHODS = (
    Method("prepare_next_batch", "", "prepare", True),
    Method("schedule_batch", "scheduler", "schedule", False),
    Method("prepare_batch_tensors", "inputs_and_outputs", "prepare", False),
    Method("get_model_kwargs", "inputs_and_outputs", "submit", True),
    Method("compute_batch", "model_runner", "submit", True),
    Method("retrieve_device_outputs", "inputs_and_outputs", "retrieve", True),
    Method("prepare_batch_update", "inputs_and_outputs", "retrieve", False),
    Method("update_batch", "", "update", True),
)
PHASES = tuple(f"cb:{method.name}" for method in METHODS)
OF_THE_STEP_BEFORE = (
    "prepare_batch_update",
    "update_batch",
)  # in a pipeline two deep; of the same step in one


class Work(NamedTuple):
    """What a step computes, as its scheduler says."""

    tokens: int
    sampled: int
    context: int  # cached tokens that attention reads, the step's own included
    pairs: int  # (query, key) pairs that attention scores
    new: bool  # some request may be at its prompt still


class InFlight(NamedTuple):
    """A step that was computed, or is being computed, and not yet taken in; times on the run's clock."""

    start: int  # of the call
    end: int
    events: Any  # of a CUDA stream; None where the call itself is the computing
    work: Work


class Hook:
    """Wraps the methods of one batch processor, and records its steps; all of it runs in the thread of its loop.

    On a CPU computing blocks the host: the device's operation is the call itself, in which the host waits. On CUDA it
    is what lies between two events on the compute stream, the first of them just before the graph's launch.
    `before_step` is called with the number of the next step.
    """

    def __init__(
        self, model: Model, recorder: StepClock, clock: SystemClock, cuda: bool, pipelined: bool
    ) -> None:
        self.clock = clock
        self.before_step: Callable[[int], None] | None = None
        self.launched = self.updated = self.tokens = self.captured = 0
        self.updated_ns = self.capture_ns = (
            0  # when the last step was taken in; how long capturing graphs took
        )
        self.first_tokens: dict[str, int] = {}  # by request, ns
        self.preemptions: dict[str, int] = {}
        self._model, self._recorder, self._cuda = model, recorder, cuda
        self._waiting = (
            "prepare_batch_update" if pipelined else "retrieve_device_outputs"
        )  # where the host blocks
        self._begun = False
        self._busy = 0
        self._awaited = 0  # requests without a first token
        self._work = Work(0, 0, 0, 0, False)
        self._in_flight: deque[InFlight] = deque()
        self._requests: Sequence[Any] = ()
        self._timer: Any = None
        self._running = ExitStack()  # what goes on from the first step to the end

    @contextmanager
    def attached(self, processor: Any, requests: int) -> Iterator[None]:
        """Wrap the methods of a batch processor meanwhile, which so many requests are for."""
        self._awaited = requests
        wrapped: list[tuple[Any, str]] = []

        def replace(owner: Any, name: str, by: Any) -> None:
            setattr(owner, name, by)
            wrapped.append((owner, name))

        if self._cuda:
            from idlescope.engine.devices.cuda_clock import StreamTimer

            self._timer = StreamTimer(processor.inputs_and_outputs.compute_stream)
            owner, runner = processor.inputs_and_outputs, processor.model_runner
            replace(owner, "get_graph", self._looking_up(owner.get_graph))
            replace(runner, "_capture_graph", self._capturing(runner._capture_graph))
        try:
            for phase, method in enumerate(METHODS):
                owner = getattr(processor, method.owner) if method.owner else processor
                replace(owner, method.name, self._wrap(phase, method, getattr(owner, method.name)))
            with self._running:
                yield
        finally:
            for owner, name in wrapped:
                delattr(owner, name)

    def busy_ns(self) -> int:
        """Return the compute time of all steps taken in so far."""
        return self._busy

    def _wrap(self, phase: int, method: Method, call: Callable[..., Any]) -> Callable[..., Any]:
        label, name, earlier = PHASES[phase], method.name, method.name in OF_THE_STEP_BEFORE
        now, recorder = self.clock.now, self._recorder
        enter: Callable[[], None] | None = getattr(self, f"_before_{name}", None)
        leave: Callable[[Any, int, int], None] | None = getattr(self, f"_after_{name}", None)
        waits = self._cuda and name == self._waiting

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if enter is not None:
                enter()
            step = self.updated if earlier else self.launched
            start = now()
            with Range(label, method.category, step):
                result = call(*args, **kwargs)
            end = now()
            # False: there was nothing to run
            recorder.phase(phase, step if method.outer and result is not False else -1, start, end)
            if waits:
                recorder.wait(step, start, end)
            if leave is not None:
                leave(result, start, end)
            return result

        return wrapped

    def _before_prepare_next_batch(self) -> None:
        if not self._begun:
            self._begun = True
            self.clock.start()
            self._running.enter_context(self._recorder.watching_collector())
        if self.before_step is not None:
            start = self.clock.now()
            self.before_step(self.launched)
            self._recorder.overhead(start, self.clock.now())

    def _after_schedule_batch(self, result: Any, start: int, end: int) -> None:
        requests, _, tokens, context = result
        if not requests:
            return
        context += tokens
        if (
            tokens == len(requests) and not self._awaited
        ):  # each has one: as a rule, and looking at all takes time
            self._work = Work(tokens, tokens, context, context, False)
            return
        pairs = sum(
            r.query_length * (2 * r.state.position_offset + r.query_length + 1) // 2
            for r in requests
        )
        self._work = Work(tokens, sum(r.has_new_token for r in requests), context, pairs, True)

    def _before_compute_batch(self) -> None:
        if self._timer is not None:
            self._timer.begin()

    def _after_compute_batch(self, result: Any, start: int, end: int) -> None:
        events = None if self._timer is None else self._timer.end()
        self._in_flight.append(InFlight(start, end, events, self._work))
        if events is None:
            self._recorder.wait(self.launched, start, end)

    def _after_retrieve_device_outputs(self, result: Any, start: int, end: int) -> None:
        self.launched += 1

    def _after_prepare_batch_update(self, result: Any, start: int, end: int) -> None:
        self._requests = result[0]

    def _after_update_batch(self, result: Any, start: int, end: int) -> None:
        step = self._in_flight.popleft()
        work, called = step.work, (step.start, step.start)
        kind, call, began, ended = OperationKind.KERNEL, "compute_batch", step.start, step.end
        if step.events is not None:
            began, ended = (self.clock.at(ns) for ns in step.events.span())
            began, called = max(began, step.start), (step.start, step.end)
            kind, call = OperationKind.GRAPH, "launch.compute_batch"
            self._timer.clock.keep()
        moved, flops = (
            self._model.step_bytes(work.context),
            self._model.step_flops(*work[:2], work.pairs),
        )
        operation = DeviceOperation(
            COMPUTE, kind, "forward", call, *called, began, ended, moved, flops
        )
        self._recorder.operations(self.updated, (operation,))
        self._busy += ended - began
        self.tokens += work.sampled
        self.updated += 1
        self.updated_ns = end
        if work.new:
            self._note_first_tokens(end)
        self._recorder.overhead(end, self.clock.now())

    def _note_first_tokens(self, now: int) -> None:
        for request in self._requests:
            state = request.state
            if not request.has_new_token or state.generated_len() != 1:
                continue
            if state._true_initial_tokens:  # it was put back into the queue, with the tokens it had
                self.preemptions[state.request_id] = self.preemptions.get(state.request_id, 0) + 1
            else:
                self.first_tokens[state.request_id] = now
                self._awaited -= 1

    def _looking_up(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            graph = call(*args, **kwargs)
            if graph is not None:
                self._timer.begin()  # again: what the host did until here kept no device busy
            return graph

        return wrapped

    def _capturing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            start = self.clock.now()
            result = call(*args, **kwargs)
            self.captured += 1
            self.capture_ns += self.clock.now() - start
            return result

        return wrapped


class Settings(NamedTuple):
    """How it batches."""

    pipelined: bool  # asynchronous
    rows: int  # requests that run at once
    max_batch_tokens: int
    graphs: bool  # as it sees fit; else none
    blocks: int | None  # of the KV cache; None: as many as it thinks fit in the GPU's memory


class Served(NamedTuple):
    """What became of the requests."""

    finished: tuple[Request, ...]
    tokens: int
    described: str  # how it was set up
    interrupted: bool


def load(model: Model, dtype: str, device: str, seed: int) -> Any:
    """Return transformers' own network on a device: a checkpoint's, or one with our random weights of that seed.

    Nothing is downloaded. Raises ConfigError where transformers or the checkpoint is not what it must be.
    """
    transformers, cb_config = _library()
    import torch

    with quiet():
        if model.folder is not None:
            try:
                network = transformers.AutoModelForCausalLM.from_pretrained(
                    model.folder, dtype=getattr(torch, dtype), local_files_only=True
                ).to(device)
            except Exception as error:
                raise ConfigError(
                    f"transformers cannot load {model.folder}: {_first_line(error)}"
                ) from error
        else:
            from idlescope.engine.network.checkpoint import random_weights

            with torch.device("meta"):
                network = transformers.AutoModelForCausalLM.from_config(
                    configured(model), dtype=getattr(torch, dtype)
                )
            network.load_state_dict(
                random_weights(model, seed, getattr(torch, dtype), device), False, assign=True
            )
            network.tie_weights()
            rotary = network.model.rotary_emb  # its frequencies are no weights
            with torch.device(device):
                network.model.rotary_emb = type(rotary)(network.config)
        network.set_attn_implementation(_attention(cb_config, device, dtype))
    return network.eval().requires_grad_(False)


def serve(
    network: Any,
    requests: Sequence[Request],
    settings: Settings,
    hook: Hook | None = None,
    watch: Callable[[], None] | None = None,
) -> Served:
    """Run requests, all of them queued before the loop begins; `watch` is called several times a second meanwhile.

    Greedy. Ctrl-C ends it and keeps what there is. Raises EngineError where a step fails, ConfigError where it cannot
    be set up.
    """
    with quiet():
        manager = _manager(network, requests, settings)
        stops = {r.id: list(r.stop_ids) or -1 for r in requests}
        for r in requests:
            manager.add_request(
                r.prompt.tolist(), str(r.id), r.max_tokens, eos_token_id=stops[r.id]
            )
        outputs: dict[str, Any] = {}
        interrupted = False
        with (
            nullcontext() if hook is None else hook.attached(manager.batch_processor, len(requests))
        ):
            try:
                _run(manager, len(requests), outputs, watch)
            except KeyboardInterrupt:
                interrupted = True
            finally:  # before the methods are unwrapped: a last step may be in flight
                manager.stop(block=True, timeout=STOP_S, hard_stop=len(outputs) < len(requests))
        while (output := manager.get_result(timeout=POLL_S)) is not None:
            outputs[output.request_id] = output
        error, described = (
            manager.background_thread_status.fatal_error,
            _described(network, manager),
        )
        manager.destroy()
    if not interrupted:
        problem = error or next((o.error for o in outputs.values() if o.error), None)
        if problem or len(outputs) < len(requests):
            step = hook.launched if hook is not None else 0
            raise EngineError(
                f"transformers' step {step} failed: {_first_line(problem or 'its loop ended')}"
            )
    finished = _finished(requests, outputs, hook)
    return Served(
        finished, sum(len(o.generated_tokens) for o in outputs.values()), described, interrupted
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own messages and bars off the terminal meanwhile: what matters is in its errors."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _library() -> tuple[Any, Any]:
    """Return transformers, and its configuration of continuous batching."""
    try:
        import transformers
        from transformers.generation.configuration_utils import ContinuousBatchingConfig
    except ImportError as error:
        raise ConfigError(
            f"--engine transformers needs transformers {LEAST_VERSION} or later ({_first_line(error)}): "
            "pip install 'idlescope[transformers]'"
        ) from error
    return transformers, ContinuousBatchingConfig


def configured(model: Model) -> Any:
    """Return transformers' configuration of a named model."""
    from transformers import LlamaConfig, Qwen3Config

    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": model.rope_theta}
    if (scaling := model.rope_scaling) is not None:
        rope |= {
            "rope_type": "llama3", "factor": scaling.factor, "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_positions,
        }  # fmt: skip
    return (Qwen3Config if model.qk_norm else LlamaConfig)(
        vocab_size=model.vocab, hidden_size=model.hidden, intermediate_size=model.intermediate,
        num_hidden_layers=model.layers, num_attention_heads=model.heads, num_key_value_heads=model.kv_heads,
        head_dim=model.head_dim, max_position_embeddings=model.max_position, rms_norm_eps=model.norm_eps,
        rope_parameters=rope, tie_word_embeddings=model.tied, bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip


def _attention(cb_config: Any, device: str, dtype: str) -> str:
    """Return the attention that transformers would choose, but from nothing that it had to download."""
    from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

    if device != "cpu" and dtype != "float32":  # FlashAttention is for 16 bits
        for number, there in ((3, is_flash_attn_3_available), (2, is_flash_attn_2_available)):
            if there():
                return f"flash_attention_{number}"
    return "sdpa" if _has(cb_config, "auto_switch_to_flash") else "paged|sdpa"  # 5.17


def _has(cb_config: Any, name: str) -> bool:
    return any(field.name == name for field in fields(cb_config))


def _manager(network: Any, requests: Sequence[Request], settings: Settings) -> Any:
    """Return its manager, warmed up: its largest graphs captured."""
    from transformers import GenerationConfig
    from transformers.generation.continuous_batching.utils import WorkloadHints

    _, cb_config = _library()
    options: dict[str, Any] = {
        "use_async_batching": settings.pipelined, "max_requests_per_batch": settings.rows,
        "max_batch_tokens": settings.max_batch_tokens, "num_blocks": settings.blocks,
        "use_cuda_graph": None if settings.graphs else False,
    }  # fmt: skip
    if _has(cb_config, "auto_switch_to_flash"):
        options["auto_switch_to_flash"] = False
    prompt, output = max(len(r.prompt) for r in requests), max(r.max_tokens for r in requests)
    try:
        manager = network.init_continuous_batching(
            generation_config=GenerationConfig(
                max_new_tokens=output, do_sample=False, eos_token_id=-1, pad_token_id=0
            ),
            continuous_batching_config=cb_config(**options),
            workload_hints=WorkloadHints(prompt, output, len(requests)),
        )
        manager.warmup()
    except (MemoryError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"transformers cannot batch this: {_first_line(error)}; ask for fewer --tokens, a smaller --batch-size or "
            "fewer --max-batch-tokens"
        ) from error
    return manager


def _run(
    manager: Any, count: int, outputs: dict[str, Any], watch: Callable[[], None] | None
) -> None:
    """Start its loop, and take its results until all are there or it has ended."""
    manager.start()
    while len(outputs) < count:
        output = manager.get_result(timeout=POLL_S)
        if output is not None:
            outputs[output.request_id] = output
        elif not manager.is_running():
            return
        if watch is not None:
            watch()


def _finished(
    requests: Sequence[Request], outputs: dict[str, Any], hook: Hook | None
) -> tuple[Request, ...]:
    """Return the requests that ended by themselves, filled in; their times where a hook had the clock."""
    done = []
    for request in requests:
        output = outputs.get(str(request.id))
        if output is None or output.error or not output.generated_tokens:
            continue
        request.output = list(output.generated_tokens)
        request.finish = Finish.STOP if request.output[-1] in request.stop_ids else Finish.LENGTH
        if hook is not None:
            request.first_token_ns = hook.first_tokens[output.request_id]
            request.finished_ns = hook.clock.at(
                round(output.lifespan[1] * 1e9)
            )  # time.perf_counter
            request.preemptions = hook.preemptions.get(output.request_id, 0)
        done.append(request)
    return tuple(done)


def _described(network: Any, manager: Any) -> str:
    resolved = manager.continuous_batching_config
    graphs = resolved.use_cuda_graph
    prompts, decodes = graphs if isinstance(graphs, tuple) else (graphs, graphs)
    paged = bool(resolved.max_blocks_per_request)
    return (
        f"transformers {version('transformers')}, {network.config._attn_implementation.rpartition('|')[2]} attention, "
        f"{'with' if (decodes if paged else prompts) else 'without'} CUDA graphs, "
        f"{'paged decode' if paged else 'varlen'} path, {resolved.num_blocks} KV blocks"
    )


def _first_line(error: object) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")
