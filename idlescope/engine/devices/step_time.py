"""How long the kernels of one step take on a modelled GPU: a roofline a kernel, an efficiency and a launch floor.

Efficiencies are measured on NVIDIA H200s (torch 2.11, driver 580.159, 2026-11-24) and taken to hold for the other
GPUs, which is a guess until they are measured. Five were fitted by `tests/gpu/calibrate.py` to 18 decode steps of this
engine on one card. Of 40 on another card, which takes 1 to 2 % longer (reports/h200/steps.json: Qwen3-0.6B and Llama
1B, 3B, 8B at batch 1, 8, 32 and 128, from 256 to 8,192 tokens of context), half come out within 2.3 %, all but those of
Qwen3-0.6B at batch 128 (10.7 and 7.6 %) within 7.2 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial

from idlescope.hardware.gpus import GPU
from idlescope.models.architecture import Model

MATMUL_BANDWIDTH = 0.885  # of the peak, where weights are all that counts (fitted)
MATMUL_FLOPS = 0.70  # of the peak: what a step of 8,192 prompt tokens reaches; an 8192-cubed product alone reaches 0.79
MATMUL_FEW_TOKENS = 18.0  # tokens at which a product reaches half of that (fitted)
ATTENTION_BANDWIDTH = 0.912  # of the peak: slope of split-KV decode attention over context (fitted)
ATTENTION_FLOPS = (
    0.35  # of the peak: FlashAttention-2 prefill on an H100 (Shah et al., FlashAttention-3, 2024)
)
ATTENTION_FIXED_NS = 7_800  # a layer (fitted); one kernel alone takes 13.7, 21.3 and 37.6 us at 257, 512 and 1,024 tokens
ELEMENTWISE_BANDWIDTH = 0.89  # of the peak: a device-to-device copy moves 4.28 of 4.8 TB/s
ELEMENTWISE_FLOOR_NS = 4_300  # a small kernel, with what it adds to its neighbours (fitted)
SAMPLING_NS_A_VALUE = (
    0.115  # a row's highest score is found by one multiprocessor: 14.8 us of 128,256
)
SAMPLING_ROWS = 132  # at once
NODE_GAP_NS = 420  # between two nodes of a CUDA graph
ELEMENTWISE_A_LAYER = 4  # two norms with their residual add, RoPE with the cache's writes, SiLU
MATMULS_A_LAYER = 4  # QKV, output, gate-up, down


@dataclass(frozen=True)
class StepWork:
    """What one step has to do, as `Batch` counts it."""

    tokens: int
    sampled: int
    context: int
    pairs: int


def step_ns(model: Model, gpu: GPU, work: StepWork) -> int:
    """Return the nanoseconds of a step's kernels, one after the other, gaps between graph nodes included."""
    attention = ATTENTION_FIXED_NS * model.layers + 1e9 * max(
        work.context * model.kv_bytes_per_token / (gpu.bytes_per_s * ATTENTION_BANDWIDTH),
        4.0
        * work.pairs
        * model.layers
        * model.attention_width
        / (gpu.flops_per_s * ATTENTION_FLOPS),
    )
    return round(_without_attention_ns(model, gpu, work.tokens, work.sampled) + attention)


@lru_cache(maxsize=4096)
def _without_attention_ns(model: Model, gpu: GPU, tokens: int, sampled: int) -> float:
    heads = model.attention_width + 2 * model.kv_heads * model.head_dim
    matmul_ns = partial(_matmul_ns, gpu, model.value_bytes)
    elementwise_ns = partial(_elementwise_ns, gpu, model.value_bytes)
    layer = (
        matmul_ns(tokens, model.hidden, heads)
        + matmul_ns(tokens, model.attention_width, model.hidden)
        + matmul_ns(tokens, model.hidden, 2 * model.intermediate)
        + matmul_ns(tokens, model.intermediate, model.hidden)
        + ELEMENTWISE_A_LAYER * elementwise_ns(3 * tokens * model.hidden)
    )
    nodes = (
        model.layers * (MATMULS_A_LAYER + ELEMENTWISE_A_LAYER) + 4
    )  # embedding, last norm, lm_head, sampling
    sampling = SAMPLING_NS_A_VALUE * model.vocab * math.ceil(sampled / SAMPLING_ROWS)
    ends = 2 * elementwise_ns(2 * tokens * model.hidden) + max(ELEMENTWISE_FLOOR_NS, sampling)
    lm_head = matmul_ns(sampled, model.hidden, model.vocab)
    return model.layers * layer + lm_head + ends + nodes * NODE_GAP_NS


def _matmul_ns(gpu: GPU, value_bytes: int, tokens: int, inputs: int, outputs: int) -> float:
    """Return the time of a product: reading and computing overlap, but not without getting in each other's way.

    The root of the sum of their squares is fitted, as is what few tokens leave of the tensor cores.
    """
    if not tokens:
        return 0.0
    moved = value_bytes * (inputs * outputs + tokens * (inputs + outputs))
    reading = moved / (gpu.bytes_per_s * MATMUL_BANDWIDTH)
    rate = gpu.flops_per_s * MATMUL_FLOPS * tokens / (tokens + MATMUL_FEW_TOKENS)
    return 1e9 * math.hypot(reading, 2.0 * tokens * inputs * outputs / rate)


def _elementwise_ns(gpu: GPU, value_bytes: int, values: int) -> float:
    return max(
        ELEMENTWISE_FLOOR_NS, 1e9 * values * value_bytes / (gpu.bytes_per_s * ELEMENTWISE_BANDWIDTH)
    )
