"""What is between a decoder's matrix products, in plain torch; a device may do it otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from idlescope.engine.network.sampling import largest


class Kernels(NamedTuple):
    """What a device may do in a way of its own; `PLAIN` is in torch.

    `project` is the product that a layer adds to its input. It may return its sum in parts,
    (parts, T, H), for `add_norm` to add.
    """

    add_norm: Callable[..., Tensor]
    rotate_and_cache: Callable[..., Tensor]
    gate: Callable[..., Tensor]
    project: Callable[[Tensor, Tensor], Tensor]
    largest: Callable[[Tensor], Tensor]


def add_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Add a layer's output to the residual stream, in place, and return the latter's RMS norm.

    Zhang and Sennrich, Root Mean Square Layer Normalization (2019).
    """
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
    """Rotate queries and keys, put keys and values into the cache, and return the queries.

    `qkv` is (T, heads + 2K, D), queries first and values last; the queries returned are
    (T, heads, D). `cos` and `sin` are (T, 1, D) in float32, `place` (T,) says where in the cache
    each token goes, `keys` and `values` are one layer's, (blocks, block, K, D). `norm`,
    (heads + K, D), is the weight of Qwen3's norm of each head.
    """
    kv_heads, head_dim = keys.shape[-2:]
    rotating = qkv[:, :-kv_heads]
    if norm is not None:
        normed = F.rms_norm(rotating, (head_dim,), None, eps)
        rotating = normed * norm
    other_half = rotating.roll(head_dim // 2, -1)
    rotated = rotating * cos + other_half * sin
    rotated = rotated.to(qkv.dtype)

    new_keys = rotated[:, -kv_heads:]
    new_values = qkv[:, -kv_heads:]
    flat_keys = keys.view(-1, kv_heads, head_dim)
    flat_values = values.view(-1, kv_heads, head_dim)
    flat_keys.index_copy_(0, place, new_keys)
    flat_values.index_copy_(0, place, new_values)
    query = rotated[:, :-kv_heads]
    return query.contiguous()


def gate(gate_up: Tensor) -> Tensor:
    """Return SiLU(gate) * up of the two halves.

    Shazeer, GLU Variants Improve Transformer (2020).
    """
    gate_half, up_half = gate_up.chunk(2, -1)
    return F.silu(gate_half) * up_half


PLAIN = Kernels(add_norm, rotate_and_cache, gate, F.linear, largest)
