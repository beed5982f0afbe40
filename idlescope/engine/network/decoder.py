"""A Llama or Qwen3 decoder over a paged KV cache, for a ragged batch of query tokens."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from idlescope.engine.network.rotary import rotary_tables
from idlescope.engine.network.torch_kernels import PLAIN, Kernels
from idlescope.engine.running_rows import Shape
from idlescope.models.architecture import Model

# queries (T, heads, D), one layer's keys and values (blocks, block, K, D) -> (T, heads, D)
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


class Decoder:
    """Weights, rotary tables and KV cache of a model, for the sizes of a run.

    Sizes: T query tokens, H hidden, D of a head, K key-value heads. `weights` holds Hugging Face
    names (`checkpoint.shapes`) and is emptied: projections that read the same input become one
    matrix. The cache has one block more than the allocator gives out, for tokens that only fill a
    bucket.
    """

    def __init__(
        self,
        model: Model,
        weights: dict[str, Tensor],
        shape: Shape,
        kernels: Kernels = PLAIN,
    ) -> None:
        self.model = model
        self.kernels = kernels
        self.embedding = weights.pop("model.embed_tokens.weight")
        self.norm = weights.pop("model.norm.weight")
        self.head = self.embedding
        if not model.tied:
            self.head = laid_out(weights.pop("lm_head.weight"))
        self.layers = [
            Layer(model, weights, f"model.layers.{layer_index}.")
            for layer_index in range(model.layers)
        ]
        self.keys = [self._empty_cache(shape) for _ in self.layers]
        self.values = [self._empty_cache(shape) for _ in self.layers]
        self.cos, self.sin = rotary_tables(model, shape.length, self.embedding.device)

    def _empty_cache(self, shape: Shape) -> Tensor:
        cache_sizes = (
            shape.blocks + 1,
            shape.block_size,
            self.model.kv_heads,
            self.model.head_dim,
        )
        return torch.zeros(
            cache_sizes, dtype=self.embedding.dtype, device=self.embedding.device
        )

    def __call__(
        self, token: Tensor, position: Tensor, place: Tensor, attend: Attend
    ) -> Tensor:
        """Return the last layer's normed output, (T, H).

        Token ids, their positions and their places in the cache are each (T,).
        """
        add_norm, rotate_and_cache, gate, project, _ = self.kernels
        eps = self.model.norm_eps
        token_count = token.numel()
        residual = F.embedding(token, self.embedding)
        cos = F.embedding(position, self.cos)[:, None]
        sin = F.embedding(position, self.sin)[:, None]
        place = place.long()
        hidden = torch.zeros_like(residual)
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            hidden = add_norm(hidden, residual, layer.input_norm, eps)
            qkv = F.linear(hidden, layer.qkv)
            qkv = qkv.view(token_count, -1, self.model.head_dim)
            query = rotate_and_cache(
                qkv, cos, sin, place, keys, values, layer.head_norm, eps
            )
            attended = attend(query, keys, values)
            hidden = project(attended.reshape(token_count, -1), layer.output)
            hidden = add_norm(hidden, residual, layer.post_norm, eps)
            gated = gate(F.linear(hidden, layer.gate_up))
            hidden = project(gated, layer.down)
        return add_norm(hidden, residual, self.norm, eps)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the scores of the next token, (T, vocabulary), of the output above."""
        return F.linear(hidden, self.head)


class Layer:
    """The matrices of one layer, each (out, in), taken out of the weights."""

    def __init__(self, model: Model, weights: dict[str, Tensor], prefix: str) -> None:
        def take(*names: str) -> Tensor:
            matrices = [
                weights.pop(f"{prefix}{weight_name}.weight") for weight_name in names
            ]
            return laid_out(matrices[0] if len(matrices) == 1 else torch.cat(matrices))

        self.input_norm = take("input_layernorm")
        self.post_norm = take("post_attention_layernorm")
        self.qkv = take("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        self.output = take("self_attn.o_proj")
        self.gate_up = take("mlp.gate_proj", "mlp.up_proj")
        self.down = take("mlp.down_proj")
        self.head_norm: Tensor | None = (
            None  # (heads + K, D): Qwen3's norm of queries and keys
        )
        if model.qk_norm:
            query_norm = take("self_attn.q_norm").expand(model.heads, -1)
            key_norm = take("self_attn.k_norm").expand(model.kv_heads, -1)
            self.head_norm = torch.cat((query_norm, key_norm))


def laid_out(weight: Tensor) -> Tensor:
    """Return a matrix as products with few rows read it fastest: on a CPU column by column.

    That is worth 12 % of a step of a 0.5B model at batch 8 (float32, one thread, torch 2.13 with
    MKL, 2026-11-24).
    """
    if weight.dim() == 2 and weight.device.type == "cpu":
        return weight.t().contiguous().t()
    return weight
