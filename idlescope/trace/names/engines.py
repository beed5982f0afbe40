"""What the names of spans mean: which engine wrote them, which phase of a step each is, and which calls wait."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from idlescope.trace.names.own_engine import ENGINE_PHASES
from idlescope.trace.table import Bool, Int32

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


@dataclass(frozen=True)
class Phases:
    """What the span names of one trace mean."""

    engine: str  # "" where no known engine's names are in it
    phase: Int32  # for each name of the trace, index into `labels`; -1: no phase
    labels: tuple[str, ...]

    def named(self, phase: str) -> Bool:
        """Return for each name of the trace whether it is of a phase."""
        return np.asarray(
            self.phase == (self.labels.index(phase) if phase in self.labels else -2), np.bool_
        )


def recognise(
    names: Sequence[str], used: Iterable[int], more: Mapping[str, Rules] | None = None
) -> Phases:
    """Return the phases of the engine whose rules most of the given names match.

    `used` are the indices of names that annotations have; `more` are engines by name whose rules come before the
    built-in ones.
    """
    candidates = [
        *(more or {}).items(),
        *((k, v) for k, v in ENGINES.items() if k not in (more or {})),
    ]
    spans = sorted(set(used))
    best: tuple[int, str, Rules, dict[int, int]] = (0, "", (), {})
    for engine, rules in candidates:
        any_rule = re.compile("|".join(f"(?:{rule})" for rule, _ in rules))
        compiled = [re.compile(rule) for rule, _ in rules]
        # of a name that some rule matches, the first rule that does
        first = {
            i: next(r for r, rule in enumerate(compiled) if rule.search(names[i]))
            for i in spans
            if any_rule.search(names[i])
        }
        if len(set(first.values())) > best[0]:
            best = (len(set(first.values())), engine, rules, first)
    _, engine, rules, first = best
    labels = tuple(dict.fromkeys(phase for _, phase in rules))
    phase = np.full(len(names), -1, np.int32)
    for i, rule in first.items():
        phase[i] = labels.index(rules[rule][1])
    return Phases(engine, phase, labels)
