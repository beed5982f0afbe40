"""What engines call the phases of a step: one record per engine.

Span names were read in the engines' sources and in their traces, in November 2026.
"""

from __future__ import annotations

import re

from msgspec import Struct

from idlescope.trace.names.own_engine import ENGINE_PHASES, WATCHED_STEP

STEP = "step"  # a span around a whole step
SCHEDULE = "schedule"
FORWARD = "forward"
IDLE = "idle"  # the engine had no request
RANK_WAIT = "rank_wait"  # the host waits for other ranks, or hands them what they wait for
PHASES = (
    STEP,
    "ingest",
    SCHEDULE,
    "prepare",
    "h2d",
    FORWARD,
    "draft",
    "sample",
    "d2h",
    "sync_wait",
    "postprocess",
    "detokenize",
    IDLE,
    RANK_WAIT,
    "submit",
    "retrieve",
    "update",
)
# A step begins with the first of these phases that has spans.
STEP_MARKERS = (STEP, SCHEDULE, "ingest", "prepare")
# What a step has, and an iteration that found nothing to do has not.
WORKING = ("prepare", "h2d", FORWARD, "submit")

PROFILER_STEP = re.compile(r"^ProfilerStep#(\d+)$")

ANY_NAME = ""  # for `Engine.common`

# (regular expression searched for in a span's name, phase); the first that matches counts
Rules = tuple[tuple[str, str], ...]


class Engine(Struct, frozen=True):
    """An engine, what its spans mean, and how its steps are told by them."""

    name: str
    rules: Rules
    # the phases whose spans may begin a step, the best first; FORWARD only where that is one span
    step_markers: tuple[str, ...] = STEP_MARKERS
    step_begins_late: bool = False  # its span of a step follows scheduling
    # A regular expression of span names that other programs have, too: a trace with no other names
    # is the engine's only where two of its rules match. None: no name is such a word.
    common: str | None = None
    # The same for Python frames: they name phases too, and tell the engine where no span does.
    frames: Rules = ()
    of_user: bool = False  # who may have written any regular expression


# Where names of two engines fit a trace equally well, the earlier engine here is taken.
ENGINES: tuple[Engine, ...] = (
    Engine(
        name="idlescope",
        rules=(
            (WATCHED_STEP, STEP),
            *((rf"^(idlescope:)?{phase}$", phase) for phase in ENGINE_PHASES),
        ),
        common=r"^(?!idlescope:)",
    ),
    # its methods wrapped as `cb:<method>`, since it has no spans of its own
    Engine(
        name="transformers",
        rules=(
            ("prepare_next_batch|schedule_batch", "schedule"),
            ("prepare_batch_tensors", "prepare"),
            ("get_model_kwargs|transfer_inputs_h2d", "h2d"),
            ("compute_batch", FORWARD),
            ("retrieve_device_outputs|transfer_outputs_d2h", "d2h"),
            ("prepare_batch_update", "sync_wait"),
            ("update_batch", "postprocess"),
        ),
        common=r"^(?!cb:)",
    ),
    Engine(
        name="sglang",
        step_markers=(*STEP_MARKERS, FORWARD),
        rules=(
            (r"^step\[IDLE\b", IDLE),  # a data-parallel rank without requests keeps step
            (r"^step\[DRAFT|^draft(_extend)?$", "draft"),
            (r"^step\[", FORWARD),
            # of a pipeline's stages, over the host
            (r"^send_(reqs|proxy_dict|res_dict)_to_next_stage$", RANK_WAIT),
            (r"^recv_(reqs|proxy|res)(_dict)?_from_prev_stage$", RANK_WAIT),
            (r"^scheduler\.recv_requests|^recv_requests$", "ingest"),
            (r"^scheduler\.process_input_requests", "ingest"),
            (
                r"^scheduler\.(get_next_batch_to_run|process_queue)|^get_next_batch_to_run$",
                "schedule",
            ),
            (r"^scheduler\.run_batch|^run_batch$", FORWARD),
            (r"^scheduler\.process_batch_result|^process_batch_result$", "postprocess"),
            (r"^copy_(result|embedding)_to_cpu", "d2h"),
            (r"^scheduler\.idle", IDLE),
        ),
        # step[DECODE bs=32] is SGLang's, step[3] may be anyone's
        common=r"^step\[(?![A-Z])|^(recv_requests|get_next_batch_to_run|run_batch"
        r"|process_batch_result|draft|draft_extend)$",
        frames=(
            (
                r"sglang/srt/managers/\S+\.py\(\d+\): (recv_requests|process_input_requests)$",
                "ingest",
            ),
            (
                r"sglang/srt/managers/scheduler\.py\(\d+\): get_next_batch_to_run$",
                "schedule",
            ),
            (r"sglang/srt/managers/scheduler\.py\(\d+\): run_batch$", FORWARD),
            (
                r"sglang/srt/managers/scheduler\.py\(\d+\): process_batch_result$",
                "postprocess",
            ),
        ),
    ),
    Engine(
        name="vllm",
        step_begins_late=True,
        rules=(
            (r"^execute_(new_\d+_cached_\d+|\d+_context_|context_\d+)", STEP),
            (r"^schedule: ", "schedule"),
            (r"^gpu_model_runner: preprocess", "prepare"),
            (r"^gpu_model_runner: forward", FORWARD),
            (r"^gpu_model_runner: postprocess", "postprocess"),
            (r"^gpu_model_runner: sample", "sample"),
            (r"^gpu_model_runner: draft", "draft"),
            (
                r"^gpu_model_runner: (bookkeep|ModelRunnerOutput|AsyncGPUModelRunnerOutput"
                r"|set_async_sampled_token_ids|eplb)",
                "postprocess",
            ),
            (r"^llm_engine step: (get_output)", "sync_wait"),
            (r"^llm_engine step: (process_outputs)", "detokenize"),
            (r"^llm_engine step: ", "postprocess"),
        ),
        common=r"^schedule: ",
        # both of its model runners
        frames=(
            (
                r"vllm/v1/worker/(gpu_worker|gpu_model_runner|gpu/model_runner)\.py\(\d+\): "
                r"execute_model$",
                STEP,
            ),
            (r"vllm/v1/core/sched/scheduler\.py\(\d+\): schedule$", "schedule"),
            (
                r"vllm/v1/core/sched/scheduler\.py\(\d+\): update_from_output$",
                "postprocess",
            ),
            (
                r"vllm/v1/worker/(gpu_model_runner|gpu/model_runner)\.py\(\d+\): "
                r"_?(prepare_inputs|update_states)$",
                "prepare",
            ),
            (
                r"vllm/v1/worker/(gpu_model_runner|gpu/model_runner)\.py\(\d+\): "
                r"(_?sample|sample_tokens)$",
                "sample",
            ),
        ),
    ),
    Engine(
        name="trtllm",
        step_markers=(*STEP_MARKERS, FORWARD),
        rules=(
            (r"^\[Executor\] _forward_step ", FORWARD),
            (r"^\[Executor\] _forward_step:|^_forward_step$", FORWARD),
            # an all-gather over the ranks of data-parallel attention; sends to the next stage
            (r"^_can_queue$|^wait_on_pp_send_handles$", RANK_WAIT),
            (r"^_check_disagg_|^_pad_attention_dp_dummy_request$", "ingest"),
            (r"^_fetch_(and_activate_)?new_requests", "ingest"),
            (r"^_schedule$", "schedule"),
            (r"^_prepare_(tp_)?inputs|^prepare_resources", "prepare"),
            (r"^_sample_async|^_setup_sampler_step|^sample_async", "sample"),
            (r"^_update_requests|^update_requests", "sync_wait"),
            (
                r"^_update_request_states"
                r"|^_handle_(responses|canceled_requests|first_token_response)"
                r"|^_process_previous_batch",
                "postprocess",
            ),
            (r"^_enqueue_responses", "detokenize"),
        ),
        common=r"^_?(schedule$|prepare_|sample_async|update_requests|forward_step$|can_queue$)",
    ),
    Engine(
        name="lmdeploy",
        rules=(
            (r"^schedule_(prefill|running)$", "schedule"),
            (r"^schedule_decoding$", "schedule"),
            (r"^create_model_inputs|^make_forward_inputs|^make_dummy_input", "prepare"),
            (r"^StepInputs\.|^build_step_context$|^fill_buffers_cudagraph$", "prepare"),
            (r"^prepare_dp$", RANK_WAIT),  # sizes of the batch are gathered over the ranks
            (r"^inputs_H2D$", "h2d"),
            (r"^forward_(cudagraph|eager)$", FORWARD),
            (r"^draft_model_forward$", "draft"),
            (r"^rejection_sample$", "sample"),
            (r"^get_logits$", FORWARD),
            (r"^sampling_logits$|^stopping_criteria$", "sample"),
            (r"^outputs_D2H$", "d2h"),
            (r"^make_infer_outputs$", "postprocess"),
        ),
        common=ANY_NAME,
    ),
    # as trace/dynamo names the passes of its metrics, whichever engine made them
    Engine(
        name="dynamo",
        step_markers=(*STEP_MARKERS, FORWARD),
        rules=((r"^dynamo:forward_pass$", FORWARD),),
    ),
    Engine(
        name="minisgl",
        rules=(
            (r"^Layer_|^MHA$|^MLP$|^Embedding$|^LMHead$", FORWARD),
            (r"^Sampler$", "sample"),
        ),
        common=ANY_NAME,
    ),
)
