"""Run our requests through transformers' continuous batching, from its warm-up to its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import Any, NamedTuple

from idlescope.capture.transformers.hook import Hook
from idlescope.capture.transformers.library import (
    batching_config,
    first_line,
    quiet,
    switches_attention,
)
from idlescope.engine.requests import Finish, Request
from idlescope.errors import ConfigError, EngineError

POLL_S = 0.1  # how often the caller of `serve` is told how far it is
STOP_S = 60.0  # to wait for the loop's thread to end
BLOCK_TOKENS = 256  # of a KV block, transformers' default
MARGIN = (
    0.2  # of KV blocks to leave: its scheduler holds prompts back where under 15 % are free
)

Outputs = dict[str, Any]  # transformers' result of each request, by the request's id


class Settings(NamedTuple):
    """How transformers batches."""

    pipelined: bool  # asynchronous: two steps in flight
    rows: int  # requests that run at once
    max_batch_tokens: int
    graphs: bool  # CUDA graphs as it sees fit; False: none
    blocks: (
        int | None
    )  # of the KV cache; None: as many as it thinks fit in the GPU's memory


class Served(NamedTuple):
    """What became of the requests."""

    finished: tuple[Request, ...]
    tokens: int
    described: str  # how transformers was set up
    interrupted: bool


def serve(
    network: Any,
    requests: Sequence[Request],
    settings: Settings,
    hook: Hook | None = None,
    watch: Callable[[], None] | None = None,
) -> Served:
    """Run requests greedily, all of them queued before the loop begins.

    `watch` is called several times per second meanwhile. Ctrl-C ends it and keeps what there is.
    Raises EngineError where a step fails, ConfigError where it cannot be set up.
    """
    outputs: Outputs = {}
    with quiet():
        manager = _manager(network, requests, settings)
        _queue(manager, requests)
        interrupted = _run(manager, requests, hook, outputs, watch)
        fatal_error = manager.background_thread_status.fatal_error
        described = _described(network, manager)
        manager.destroy()
    if not interrupted:
        _check_complete(outputs, len(requests), fatal_error, hook)
    finished = _finished(requests, outputs, hook)
    tokens = sum(len(output.generated_tokens) for output in outputs.values())
    return Served(finished, tokens, described, interrupted)


def _manager(network: Any, requests: Sequence[Request], settings: Settings) -> Any:
    """Return transformers' manager, warmed up: its largest graphs captured. Raises ConfigError."""
    from transformers import GenerationConfig
    from transformers.generation.continuous_batching.utils import WorkloadHints

    options: dict[str, Any] = {
        "use_async_batching": settings.pipelined,
        "max_requests_per_batch": settings.rows,
        "max_batch_tokens": settings.max_batch_tokens,
        "num_blocks": settings.blocks,
        "use_cuda_graph": None if settings.graphs else False,
    }
    if switches_attention():
        options["auto_switch_to_flash"] = False
    longest_prompt = max(len(request.prompt) for request in requests)
    longest_output = max(request.max_tokens for request in requests)
    try:
        manager = network.init_continuous_batching(
            generation_config=GenerationConfig(
                max_new_tokens=longest_output,
                do_sample=False,
                eos_token_id=-1,
                pad_token_id=0,
            ),
            continuous_batching_config=batching_config(**options),
            workload_hints=WorkloadHints(longest_prompt, longest_output, len(requests)),
        )
        manager.warmup()
    except (MemoryError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"transformers cannot batch this: {first_line(error)}; "
            "ask for fewer --tokens, a smaller --batch-size or fewer --max-batch-tokens"
        ) from error
    return manager


def _queue(manager: Any, requests: Sequence[Request]) -> None:
    for request in requests:
        stop_ids = list(request.stop_ids) or -1
        prompt = request.prompt.tolist()
        manager.add_request(
            prompt, str(request.id), request.max_tokens, eos_token_id=stop_ids
        )


def _run(
    manager: Any,
    requests: Sequence[Request],
    hook: Hook | None,
    outputs: Outputs,
    watch: Callable[[], None] | None,
) -> bool:
    """Run the loop until all results are there, or it has ended; return whether Ctrl-C ended it."""
    attached: AbstractContextManager[None] = nullcontext()
    if hook is not None:
        attached = hook.attached(manager.batch_processor, len(requests))
    interrupted = False
    with attached:
        try:
            _collect(manager, len(requests), outputs, watch)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            # Before the methods are unwrapped: a last step may be in flight.
            incomplete = len(outputs) < len(requests)
            manager.stop(block=True, timeout=STOP_S, hard_stop=incomplete)
    while (output := manager.get_result(timeout=POLL_S)) is not None:
        outputs[output.request_id] = output
    return interrupted


def _collect(
    manager: Any, count: int, outputs: Outputs, watch: Callable[[], None] | None
) -> None:
    """Start the loop, and take its results until all are there or it has ended."""
    manager.start()
    while len(outputs) < count:
        output = manager.get_result(timeout=POLL_S)
        if output is not None:
            outputs[output.request_id] = output
        elif not manager.is_running():
            return
        if watch is not None:
            watch()


def _check_complete(
    outputs: Outputs, expected: int, error: object, hook: Hook | None
) -> None:
    """Raise EngineError where the loop failed, a request did, or one has no result."""
    failures = [error, *(output.error for output in outputs.values())]
    problem = next((failure for failure in failures if failure), None)
    if problem is None and len(outputs) < expected:
        problem = "its loop ended"
    if problem is not None:
        last_step = hook.launched if hook is not None else 0
        raise EngineError(f"transformers' step {last_step} failed: {first_line(problem)}")


def _finished(
    requests: Sequence[Request], outputs: Outputs, hook: Hook | None
) -> tuple[Request, ...]:
    """Return the requests that ended by themselves, filled in; with times where there is a hook."""
    finished = []
    for request in requests:
        output = outputs.get(str(request.id))
        if output is None or output.error or not output.generated_tokens:
            continue
        request.output = list(output.generated_tokens)
        stopped = request.output[-1] in request.stop_ids
        request.finish = Finish.STOP if stopped else Finish.LENGTH
        if hook is not None:
            finished_ns = round(output.lifespan[1] * 1e9)  # of time.perf_counter
            request.first_token_ns = hook.first_tokens[output.request_id]
            request.finished_ns = hook.clock.at(finished_ns)
            request.preemptions = hook.preemptions.get(output.request_id, 0)
        finished.append(request)
    return tuple(finished)


def _described(network: Any, manager: Any) -> str:
    """Return in a line how transformers was set up, as it decided."""
    resolved = manager.continuous_batching_config
    attention = network.config._attn_implementation.rpartition("|")[2]
    is_paged = bool(resolved.max_blocks_per_request)
    # One setting for all steps, or one for steps with prompts and one for paged decode.
    graphs = resolved.use_cuda_graph
    if isinstance(graphs, tuple):
        prompt_graphs, decode_graphs = graphs
        graphs = decode_graphs if is_paged else prompt_graphs
    return (
        f"transformers {version('transformers')}, {attention} attention, "
        f"{'with' if graphs else 'without'} CUDA graphs, "
        f"{'paged decode' if is_paged else 'varlen'} path, {resolved.num_blocks} KV blocks"
    )
