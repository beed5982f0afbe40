"""What the names of spans mean: which engine wrote them, which phase of a step each is, and which calls wait."""

from __future__ import annotations

import re
from collections.abc import Mapping

from idlescope.trace.names.own_engine import ENGINE_PHASES

STEP = "step"  # a span around a whole step
IDLE = "idle"  # the engine had no request
PHASES = (
    STEP, "ingest", "schedule", "prepare", "h2d", "forward", "draft", "sample", "d2h", "sync_wait", "postprocess",
    "detokenize", IDLE, "submit", "retrieve", "update",
)  # fmt: skip
# A step begins with the first of these that the engine's spans name; with the forward pass only where that is one span.
STEP_MARKERS = (STEP, "schedule", "ingest", "prepare")
WORKING = (
    "prepare",
    "h2d",
    "forward",
    "submit",
)  # what a step has, and an iteration that found nothing to do has not
WHOLE_FORWARD = frozenset({"sglang", "trtllm"})
STEP_SPAN_BEGINS_LATE = frozenset({"vllm"})  # its span of a step follows scheduling

Rules = tuple[
    tuple[str, str], ...
]  # (regular expression searched for in a span's name, phase); the first match counts

# Span names as the engines write them (read in their sources and in their traces, November 2026). Where names of two
# engines fit a trace equally well, the earlier engine here is taken.
ENGINES: Mapping[str, Rules] = {
    "idlescope": tuple((rf"^(idlescope:)?{phase}$", phase) for phase in ENGINE_PHASES),
    "transformers": (  # its methods wrapped as `cb:<method>`, since it has no spans of its own
        ("prepare_next_batch|schedule_batch", "schedule"),
        ("prepare_batch_tensors", "prepare"),
        ("get_model_kwargs|transfer_inputs_h2d", "h2d"),
        ("compute_batch", "forward"),
        ("retrieve_device_outputs|transfer_outputs_d2h", "d2h"),
        ("prepare_batch_update", "sync_wait"),
        ("update_batch", "postprocess"),
    ),
    "sglang": (
        (r"^step\[", "forward"),
        (r"^scheduler\.recv_requests|^recv_requests$", "ingest"),
        (r"^scheduler\.process_input_requests", "ingest"),
        (r"^scheduler\.(get_next_batch_to_run|process_queue)|^get_next_batch_to_run$", "schedule"),
        (r"^scheduler\.run_batch|^run_batch$", "forward"),
        (r"^scheduler\.process_batch_result|^process_batch_result$", "postprocess"),
        (r"^copy_(result|embedding)_to_cpu", "d2h"),
        (r"^scheduler\.idle", IDLE),
    ),
    "vllm": (
        (r"^execute_(new_\d+_cached_\d+|\d+_context_|context_\d+)", STEP),
        (r"^schedule: ", "schedule"),
        (r"^gpu_model_runner: preprocess", "prepare"),
        (r"^gpu_model_runner: forward", "forward"),
        (r"^gpu_model_runner: postprocess", "postprocess"),
        (r"^gpu_model_runner: sample", "sample"),
        (r"^gpu_model_runner: draft", "draft"),
        (r"^gpu_model_runner: (bookkeep|ModelRunnerOutput|AsyncGPUModelRunnerOutput|set_async_sampled_token_ids|eplb)",
         "postprocess"),
        (r"^llm_engine step: (get_output)", "sync_wait"),
        (r"^llm_engine step: (process_outputs)", "detokenize"),
        (r"^llm_engine step: ", "postprocess"),
    ),
    "trtllm": (
        (r"^\[Executor\] _forward_step ", "forward"),
        (r"^_fetch_(and_activate_)?new_requests", "ingest"),
        (r"^_schedule$", "schedule"),
        (r"^_prepare_(tp_)?inputs|^prepare_resources", "prepare"),
        (r"^_sample_async|^_setup_sampler_step|^sample_async", "sample"),
        (r"^_update_requests|^update_requests", "sync_wait"),
        (r"^_update_request_states|^_handle_(responses|canceled_requests|first_token_response)|^_process_previous_batch",
         "postprocess"),
        (r"^_enqueue_responses", "detokenize"),
    ),
    "lmdeploy": (
        (r"^schedule_(prefill|running)$", "schedule"),
        (r"^create_model_inputs|^make_forward_inputs|^make_dummy_input", "prepare"),
        (r"^inputs_H2D$", "h2d"),
        (r"^get_logits$", "forward"),
        (r"^sampling_logits$|^stopping_criteria$", "sample"),
        (r"^outputs_D2H$", "d2h"),
        (r"^make_infer_outputs$", "postprocess"),
    ),
    "minisgl": (
        (r"^Layer_|^MHA$|^MLP$|^Embedding$|^LMHead$", "forward"),
        (r"^Sampler$", "sample"),
    ),
}  # fmt: skip

PROFILER_STEP = re.compile(r"^ProfilerStep#(\d+)$")
