"""How long the kernels of one step take on a modelled GPU.

A roofline per kernel, with an efficiency and a launch floor. Efficiencies are measured on NVIDIA
H200s (torch 2.11, driver 580.159, 2026-11-24) and taken to hold for the other GPUs, which is a
guess until they are measured. Five were fitted by `tests/gpu/calibrate.py` to 18 decode steps of
this engine on one card. Of 40 on another card, which takes 1 to 2 % longer
(reports/h200/steps.json: Qwen3-0.6B and Llama 1B, 3B, 8B at batch 1, 8, 32 and 128, from 256 to
8,192 tokens of context), half come out within 2.3 %, all but those of Qwen3-0.6B at batch 128 (10.7
and 7.6 %) within 7.2 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from idlescope.hardware.gpus import GPU
from idlescope.models.architecture import Model

# Shares of the GPU's peak bandwidth or peak arithmetic
MATMUL_BANDWIDTH = 0.885  # where weights are all that counts (fitted)
MATMUL_FLOPS = (
    0.70  # a step of 8,192 prompt tokens; an 8192-cubed product alone reaches 0.79
)
MATMUL_FEW_TOKENS = 18.0  # tokens at which a product reaches half of that (fitted)
ATTENTION_BANDWIDTH = 0.912  # slope of split-KV decode attention over context (fitted)
ATTENTION_FLOPS = (
    0.35  # FlashAttention-2 prefill on an H100 (Shah et al., FlashAttention-3, 2024)
)
ELEMENTWISE_BANDWIDTH = 0.89  # a device-to-device copy moves 4.28 of 4.8 TB/s

# per layer (fitted); one kernel alone takes 13.7, 21.3 and 37.6 us at 257, 512 and 1,024 tokens
ATTENTION_FIXED_NS = 7_800
ELEMENTWISE_FLOOR_NS = 4_300  # a small kernel, with what it adds to its neighbours (fitted)
NODE_GAP_NS = 420  # between two nodes of a CUDA graph
# a row's highest score is found by one multiprocessor: 14.8 us of 128,256
SAMPLING_NS_PER_VALUE = 0.115
SAMPLING_ROWS = 132  # at once

ELEMENTWISE_PER_LAYER = (
    4  # two norms with their residual add, RoPE with the cache's writes, SiLU
)
MATMULS_PER_LAYER = 4  # QKV, output, gate-up, down
OTHER_NODES = 4  # embedding, last norm, output projection, sampling


@dataclass(frozen=True)
class StepWork:
    """What one step has to do, as `Batch` counts it."""

    tokens: int
    sampled: int
    context: int
    pairs: int


def step_ns(model: Model, gpu: GPU, work: StepWork) -> int:
    """Return how long a step's kernels take one after the other, gaps between them included."""
    cached_bytes = work.context * model.kv_bytes_per_token
    reading = cached_bytes / (gpu.bytes_per_s * ATTENTION_BANDWIDTH)
    scoring_flops = 4.0 * work.pairs * model.layers * model.attention_width
    scoring = scoring_flops / (gpu.flops_per_s * ATTENTION_FLOPS)
    attention = ATTENTION_FIXED_NS * model.layers + 1e9 * max(reading, scoring)
    return round(_without_attention_ns(model, gpu, work.tokens, work.sampled) + attention)


@lru_cache(maxsize=4096)
def _without_attention_ns(model: Model, gpu: GPU, tokens: int, sampled: int) -> float:
    """Return the time of everything but attention, which alone depends on the context."""
    kernels = Kernels(gpu, model.value_bytes)
    layer_ns = _layer_ns(model, kernels, tokens)
    embedding_and_norm = 2 * kernels.elementwise_ns(2 * tokens * model.hidden)
    projection = kernels.matmul_ns(sampled, model.hidden, model.vocab)
    sampling_waves = math.ceil(sampled / SAMPLING_ROWS)
    sampling = SAMPLING_NS_PER_VALUE * model.vocab * sampling_waves
    sampling = max(ELEMENTWISE_FLOOR_NS, sampling)

    nodes_per_layer = MATMULS_PER_LAYER + ELEMENTWISE_PER_LAYER
    graph_nodes = model.layers * nodes_per_layer + OTHER_NODES
    node_gaps_ns = graph_nodes * NODE_GAP_NS
    return (
        model.layers * layer_ns
        + projection
        + (embedding_and_norm + sampling)
        + node_gaps_ns
    )


def _layer_ns(model: Model, kernels: Kernels, tokens: int) -> float:
    """Return the time of one layer without attention."""
    hidden, query_width = model.hidden, model.attention_width
    qkv_width = query_width + 2 * model.kv_heads * model.head_dim
    return (
        kernels.matmul_ns(tokens, hidden, qkv_width)
        + kernels.matmul_ns(tokens, query_width, hidden)
        + kernels.matmul_ns(tokens, hidden, 2 * model.intermediate)
        + kernels.matmul_ns(tokens, model.intermediate, hidden)
        + ELEMENTWISE_PER_LAYER * kernels.elementwise_ns(3 * tokens * hidden)
    )


@dataclass(frozen=True)
class Kernels:
    """Durations of single kernels on a GPU, on values of so many bytes."""

    gpu: GPU
    value_bytes: int

    def matmul_ns(self, tokens: int, inputs: int, outputs: int) -> float:
        """Return the time of a product (tokens, inputs) x (inputs, outputs).

        Reading and computing overlap, but not without getting in each other's way: the root of the
        sum of their squares is fitted, as is what few tokens leave of the tensor cores.
        """
        if not tokens:
            return 0.0
        values = inputs * outputs + tokens * (inputs + outputs)
        reading = self.value_bytes * values / (self.gpu.bytes_per_s * MATMUL_BANDWIDTH)
        flops_per_s = (
            self.gpu.flops_per_s * MATMUL_FLOPS * tokens / (tokens + MATMUL_FEW_TOKENS)
        )
        computing = 2.0 * tokens * inputs * outputs / flops_per_s
        return 1e9 * math.hypot(reading, computing)

    def elementwise_ns(self, values: int) -> float:
        """Return the time of a kernel that reads or writes so many values."""
        bandwidth = self.gpu.bytes_per_s * ELEMENTWISE_BANDWIDTH
        return max(ELEMENTWISE_FLOOR_NS, 1e9 * values * self.value_bytes / bandwidth)
