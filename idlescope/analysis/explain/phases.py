"""The phases of an engine's step, as its spans name them."""

from __future__ import annotations

from idlescope.analysis.explain.entry import Entry, Usually, WordKind

WITHIN = "within a span of this phase that is the innermost named one"


def _phase(
    name: str, means: str, usually: Usually, do: str, also: tuple[str, ...] = ()
) -> Entry:
    """Return the entry of a phase: all are measured alike."""
    return Entry(
        name=name,
        kinds=(WordKind.HOST,),
        means=means,
        measured=WITHIN,
        usually=usually,
        do=do,
        also=also,
        see=("host work",),
    )


PHASES = (
    _phase(
        "ingest",
        "New requests are received and made ready for the scheduler.",
        Usually(
            vllm="EngineCore's input queue.",
            sglang="`recv_requests`, `process_input_requests`: ZeroMQ and, with tensor "
            "parallelism, a broadcast over the host.",
            trtllm="`_fetch_new_requests`, and a broadcast to the ranks.",
            own="Reading a queue and tokenizing in the loop.",
        ),
        "Tokenize in another process, and take in requests while a step runs.",
    ),
    _phase(
        "schedule",
        "The batch is chosen: admission, KV blocks, preemption.",
        Usually(
            vllm="`schedule: allocate_slots` for each request; grows with the batch and with "
            "prefix caching.",
            sglang="`get_next_batch_to_run`: radix cache, filtering and merging of batches.",
            trtllm="`_schedule`: capacity and micro-batch scheduler.",
            own="Lists of Python objects, one per request.",
        ),
        "Hide it behind the device; keep tables of requests as arrays.",
    ),
    _phase(
        "prepare",
        "The step's inputs are built on the host: tokens, positions, block tables, masks.",
        Usually(
            vllm="`gpu_model_runner: preprocess` (`_prepare_inputs`, `_update_states`).",
            sglang="`ForwardBatch.init_new` and the attention backend's metadata.",
            trtllm="`_prepare_tp_inputs`, `prepare_resources`.",
            own="torch.tensor of Python lists, padding; it grows with the context where whole "
            "block tables are rebuilt.",
        ),
        "Update what changed instead of building it anew; fill pinned buffers for the next step "
        "while this one runs.",
    ),
    _phase(
        "h2d",
        "Inputs are copied from the host to the device.",
        Usually(
            vllm="Several small copies instead of one; memory that is not pinned.",
            sglang="The same.",
            trtllm="Copies within `_prepare_tp_inputs`.",
            own="`.to(\"cuda\")` of pageable memory, which blocks.",
        ),
        "One copy per step, from pinned memory, on a stream of its own.",
        ("host to device",),
    ),
    _phase(
        "submit",
        "Copies, compute and events of a step are given to the device.",
        Usually(
            vllm="The launch of a CUDA graph, or of a thousand kernels.",
            sglang="The same.",
            trtllm="The same.",
            own="idlescope's own engine: H2D, compute and D2H with their events.",
        ),
        "One graph per step.",
    ),
    _phase(
        "forward",
        "The host launches the forward pass.",
        Usually(
            vllm="`gpu_model_runner: forward`: short with full CUDA graphs, long in eager mode "
            "or with piecewise graphs.",
            sglang="`run_batch`, `step[DECODE bs=N]`.",
            trtllm="`[Executor] _forward_step N`.",
            own="`model(inputs)` in eager mode: Python and dispatcher per operator.",
        ),
        "CUDA graphs of the whole step; torch.compile.",
    ),
    _phase(
        "draft",
        "The draft model of speculative decoding proposes tokens.",
        Usually(
            vllm="`gpu_model_runner: draft`: several small forward passes per step.",
            sglang="`draft`, `draft_extend`, `step[DRAFT …]`.",
            trtllm="A drafter that runs eagerly.",
            own="A Python loop over draft steps.",
        ),
        "Graphs for the draft model; fewer draft tokens at large batches.",
    ),
    _phase(
        "sample",
        "Tokens are drawn from the logits: sampling, not sampling of a profiler.",
        Usually(
            vllm="`gpu_model_runner: sample`: penalties, logprobs, top-p sorts, grammar masks.",
            sglang="The sampler, with grammar masks that need the last token.",
            trtllm="`_sample_async`; the torch sampler with many settings per request.",
            own="softmax, sort and multinomial as single kernels, or on the host.",
        ),
        "Sample on the device, in the graph where it can be; leave out logprobs that no one reads.",
        ("sampler",),
    ),
    _phase(
        "d2h",
        "The tokens are copied to the host.",
        Usually(
            vllm="`AsyncGPUModelRunnerOutput` copies them on a stream of its own.",
            sglang="`copy_result_to_cpu`.",
            trtllm="A copy to pinned memory with an event.",
            own="`.cpu()`, which waits; pageable memory, which blocks.",
        ),
        "Copy to pinned memory on a stream of its own, and wait for an event a step later.",
        ("device to host",),
    ),
    _phase(
        "retrieve",
        "The host waits for the tokens of one step: the only place where a loop needs to block.",
        Usually(
            vllm="`get_output`.",
            sglang="The wait for the copy's event.",
            trtllm="`_update_requests`.",
            own="idlescope's own engine: the wait for a slot's D2H event.",
        ),
        "Retrieve the step before last: asynchronous batching.",
    ),
    _phase(
        "sync_wait",
        "The engine waits for a step's results in a span of that name.",
        Usually(
            vllm="`llm_engine step: get_output`.",
            sglang="None of its spans; see waiting call.",
            trtllm="`_update_requests` waits for the sampler's event.",
            own="A range around the wait.",
        ),
        "Asynchronous batching makes it wait for an older step.",
    ),
    _phase(
        "update",
        "Tokens are appended, requests ended, blocks freed.",
        Usually(
            vllm="`update_from_output` (its spans are postprocess).",
            sglang="`process_batch_result` (its spans are postprocess).",
            trtllm="`_update_request_states` (its spans are postprocess).",
            own="idlescope's own engine: stop conditions, blocks, text.",
        ),
        "Hide it behind the next step.",
    ),
    _phase(
        "postprocess",
        "What follows the forward pass on the host: bookkeeping, stop conditions, results.",
        Usually(
            vllm="`gpu_model_runner: bookkeep`, `update_from_output`.",
            sglang="`process_batch_result`.",
            trtllm="`_handle_responses`, `_process_previous_batch`.",
            own="Stop strings, logging and metrics per token.",
        ),
        "Hide it behind the next step; do per-request work for requests that ended, not for all.",
        ("post-process", "post-processing"),
    ),
    _phase(
        "detokenize",
        "Token ids become text.",
        Usually(
            vllm="`llm_engine step: process_outputs`, where it is in the engine's process.",
            sglang="Another process, so it is rarely seen.",
            trtllm="`_enqueue_responses`.",
            own="`tokenizer.decode` of the whole answer for each token.",
        ),
        "Detokenize in another process, and only the new tokens.",
        ("detokenise", "detokenization"),
    ),
    _phase(
        "rank_wait",
        "The host waits for other ranks, or hands them what they wait for: no work of its own.",
        Usually(
            vllm="Data-parallel ranks agree on their batch before each step.",
            sglang="`recv_*_from_prev_stage`, `send_*_to_next_stage` of pipeline stages.",
            trtllm="`_can_queue` gathers over the ranks of attention data parallelism; "
            "`wait_on_pp_send_handles`.",
            own="A barrier or an all-gather over the host in each step.",
        ),
        "Give the folder of all ranks' traces: what the late rank does longer is what to mend.",
    ),
)  # fmt: skip
