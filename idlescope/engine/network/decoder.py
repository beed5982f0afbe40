"""The network: a Llama or Qwen3 decoder over a paged KV cache, for a ragged batch of query tokens.

Rotary embeddings as in Su et al., RoFormer (2021), with the two halves of a head paired as Hugging Face pairs them;
Llama 3's scaling of their frequencies as in Meta's reference code (llama-models, `apply_scaling`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from idlescope.engine.network.sampling import largest
from idlescope.models.architecture import Model

# queries (T, heads, D), one layer's keys and values (blocks, block, K, D) -> (T, heads, D)
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


class Kernels(NamedTuple):
    """What a device may do in a way of its own; `PLAIN` is in torch.

    `project` is the product that a layer adds to its input. It may return its sum in parts, (parts, T, H), for
    `add_norm` to add.
    """

    add_norm: Callable[..., Tensor]
    rotate_and_cache: Callable[..., Tensor]
    gate: Callable[..., Tensor]
    project: Callable[[Tensor, Tensor], Tensor]
    largest: Callable[[Tensor], Tensor]


class Decoder:
    """Weights, rotary tables and KV cache. Sizes: T query tokens, H hidden, D of a head, K key-value heads.

    `weights` holds Hugging Face names (`checkpoint.shapes`) and is emptied: projections that read the same input become
    one matrix. The cache has one block more than the allocator gives out, for tokens that only fill a bucket.
    """

    def __init__(
        self,
        model: Model,
        weights: dict[str, Tensor],
        blocks: int,
        block_size: int,
        length: int,
        kernels: Kernels | None = None,
    ) -> None:
        self.model = model
        self.embedding = weights.pop("model.embed_tokens.weight")
        self.norm = weights.pop("model.norm.weight")
        self.head = self.embedding if model.tied else laid_out(weights.pop("lm_head.weight"))
        self.layers = [Layer(model, weights, f"model.layers.{i}.") for i in range(model.layers)]
        dtype, device = self.embedding.dtype, self.embedding.device
        shape = (blocks + 1, block_size, model.kv_heads, model.head_dim)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in self.layers]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in self.layers]
        self.cos, self.sin = rotary_tables(model, length, device)
        self.kernels = kernels or PLAIN

    def __call__(self, token: Tensor, position: Tensor, place: Tensor, attend: Attend) -> Tensor:
        """Return the last layer's normed output, (T, H), for tokens, positions and places in the cache, each (T,)."""
        eps, (add_norm, rotate_and_cache, gate, project, _) = self.model.norm_eps, self.kernels
        residual = F.embedding(token, self.embedding)
        cos, sin = (
            F.embedding(position, self.cos)[:, None],
            F.embedding(position, self.sin)[:, None],
        )
        place = place.long()
        x = torch.zeros_like(residual)
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            x = add_norm(x, residual, layer.input_norm, eps)
            qkv = F.linear(x, layer.qkv).view(token.numel(), -1, self.model.head_dim)
            query = rotate_and_cache(qkv, cos, sin, place, keys, values, layer.head_norm, eps)
            x = project(attend(query, keys, values).reshape(token.numel(), -1), layer.output)
            x = add_norm(x, residual, layer.post_norm, eps)
            x = project(gate(F.linear(x, layer.gate_up)), layer.down)
        return add_norm(x, residual, self.norm, eps)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the scores of the next token, (T, vocabulary)."""
        return F.linear(hidden, self.head)


class Layer:
    """The matrices of one layer, each (out, in)."""

    def __init__(self, model: Model, weights: dict[str, Tensor], prefix: str) -> None:
        def take(*names: str) -> Tensor:
            parts = [weights.pop(f"{prefix}{name}.weight") for name in names]
            return laid_out(parts[0] if len(parts) == 1 else torch.cat(parts))

        self.input_norm, self.post_norm = take("input_layernorm"), take("post_attention_layernorm")
        self.qkv = take("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        self.output = take("self_attn.o_proj")
        self.gate_up, self.down = take("mlp.gate_proj", "mlp.up_proj"), take("mlp.down_proj")
        self.head_norm = None  # (heads + K, D): Qwen3's norm of queries and keys
        if model.qk_norm:
            q, k = take("self_attn.q_norm"), take("self_attn.k_norm")
            self.head_norm = torch.cat((q.expand(model.heads, -1), k.expand(model.kv_heads, -1)))


def laid_out(weight: Tensor) -> Tensor:
    """Return a matrix as products with few rows read it fastest: on a CPU column by column.

    That is worth 12 % of a step of a 0.5B model at batch 8 (float32, one thread, torch 2.13 with MKL, 2026-11-24).
    """
    return (
        weight.t().contiguous().t() if weight.dim() == 2 and weight.device.type == "cpu" else weight
    )


def add_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Add a layer's output to the residual stream, in place, and return its RMS norm (Zhang and Sennrich, 2019)."""
    residual += x
    return F.rms_norm(residual, weight.shape, weight, eps)


def rotate_and_cache(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    place: Tensor,
    keys: Tensor,
    values: Tensor,
    norm: Tensor | None,
    eps: float,
) -> Tensor:
    """Rotate queries and keys, (T, heads + 2K, D) with the values behind them; cache the latter two; return the former.

    Queries are (T, heads, D); `cos` and `sin` are (T, 1, D) in float32.
    """
    kv_heads, dim = keys.shape[-2:]
    rotating = qkv[:, :-kv_heads]
    if norm is not None:
        rotating = F.rms_norm(rotating, (dim,), None, eps) * norm
    rotated = (rotating * cos + rotating.roll(dim // 2, -1) * sin).to(qkv.dtype)
    keys.view(-1, kv_heads, dim).index_copy_(0, place, rotated[:, -kv_heads:])
    values.view(-1, kv_heads, dim).index_copy_(0, place, qkv[:, -kv_heads:])
    return rotated[:, :-kv_heads].contiguous()


def gate(gate_up: Tensor) -> Tensor:
    """Return SiLU(gate) * up of the two halves (Shazeer, GLU Variants Improve Transformer, 2020)."""
    gated, up = gate_up.chunk(2, -1)
    return F.silu(gated) * up


PLAIN = Kernels(add_norm, rotate_and_cache, gate, F.linear, largest)


def rotary_tables(model: Model, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each (length, D) in float32; the sine's first half is negative.

    With them, x * cos + roll(x, D/2) * sin rotates each pair (x[i], x[i + D/2]).
    """
    dim = model.head_dim
    inverse = 1.0 / model.rope_theta ** (torch.arange(0, dim, 2, dtype=torch.int64).float() / dim)
    if (scaling := model.rope_scaling) is not None:
        turns = (
            scaling.original_positions * inverse / (2 * math.pi)
        )  # over the length that the model was trained on
        span = scaling.high_freq_factor - scaling.low_freq_factor
        keep = ((turns - scaling.low_freq_factor) / span).clamp(0.0, 1.0)
        inverse = inverse * (keep + (1 - keep) / scaling.factor)
    angle = torch.arange(length, dtype=torch.float32)[:, None] * inverse
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((cos, cos), 1).to(device), torch.cat((-sin, sin), 1).to(device)
