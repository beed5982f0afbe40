"""A GPU's own kernels, in Triton: all that is between the matrix products of a decoder.

A decode step has nine kernels per layer, and each costs 2 to 3 us beside what it reads: so nothing
is done in a kernel of its own that another can do on the way. Programmatic dependent launch is not
used: with it graphs were 1.6 % faster in a process's first device, and 1.1 % slower in those after
(torch 2.11, triton 3.6, H200, 2026-11-24).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from idlescope.engine.network.torch_kernels import Kernels
from idlescope.engine.network.triton_attention import MULTIPROCESSORS

# What is fastest on an H200, 2026-11-24, at a step of 8B at batch 32.
FEW_TOKENS = (
    128  # up to so many, narrow products are summed in parts; not at all: 3 % longer
)
TILE = 64  # columns that a program of a product has as a rule
GATE_BLOCK = 1024  # columns that a program gates


def add_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Do in one kernel what `torch_kernels.add_norm` does, of x in parts too."""
    tokens, width = residual.shape
    normed = torch.empty_like(residual)
    _add_norm[tokens,](
        x,
        residual,
        weight,
        normed,
        eps,
        tokens * width,
        WIDTH=width,
        PARTS=x.numel() // residual.numel(),
        BLOCK=triton.next_power_of_2(width),
        num_warps=8,
    )
    return normed


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
    """Do in one kernel what `torch_kernels.rotate_and_cache` does."""
    kv_heads, head_dim = keys.shape[-2:]
    tokens, all_heads = qkv.shape[:2]
    query_heads = all_heads - 2 * kv_heads
    rotated = torch.empty(tokens, query_heads, head_dim, dtype=qkv.dtype, device=qkv.device)
    _rotate[tokens, all_heads](
        qkv,
        cos,
        sin,
        place,
        qkv if norm is None else norm,
        rotated,
        keys,
        values,
        eps,
        HEADS=query_heads,
        KV_HEADS=kv_heads,
        DIM=head_dim,
        NORMED=norm is not None,
        num_warps=1,
    )
    return rotated


def gate(gate_up: Tensor) -> Tensor:
    """Do in one kernel what `torch_kernels.gate` does."""
    tokens = gate_up.shape[0]
    width = gate_up.shape[1] // 2
    gated = torch.empty(tokens, width, dtype=gate_up.dtype, device=gate_up.device)
    blocks = triton.cdiv(width, GATE_BLOCK)
    _gate[tokens, blocks](gate_up, gated, WIDTH=width, BLOCK=GATE_BLOCK, num_warps=4)
    return gated


def project(x: Tensor, weight: Tensor) -> Tensor:
    """Return x, (T, in), times a matrix (out, in): for few rows in parts, (parts, T, out).

    A product of few rows and columns keeps a GPU busy only where its sum is split. cuBLAS does so,
    too, and then adds the parts in a kernel of its own.
    """
    tokens = x.shape[0]
    out_width, width = weight.shape
    part_count = parts(tokens, out_width, width)
    if part_count == 1:
        return F.linear(x, weight)
    x_parts = x.view(tokens, part_count, -1).transpose(0, 1)
    weight_parts = weight.view(out_width, part_count, -1).permute(1, 2, 0)
    return torch.bmm(x_parts, weight_parts)


def parts(tokens: int, out: int, width: int) -> int:
    """Return in how many parts to sum a product of (tokens, width) and (width, out)."""
    if tokens > FEW_TOKENS:
        return 1
    programs = out // TILE  # of one part
    part_count = 1
    while 2 * part_count * programs <= MULTIPROCESSORS and width % (16 * part_count) == 0:
        part_count *= 2
    return part_count


def largest(logits: Tensor) -> Tensor:
    """Do in one kernel what `sampling.largest` does."""
    row_count, width = logits.shape
    largest_column = torch.empty(row_count, dtype=torch.int32, device=logits.device)
    _largest[row_count,](logits, largest_column, WIDTH=width, BLOCK=8192, num_warps=16)
    return largest_column


KERNELS = Kernels(add_norm, rotate_and_cache, gate, project, largest)


@triton.jit
def _add_norm(  # type: ignore[no-untyped-def]
    x,
    residual,
    weight,
    out,
    eps,
    part_size,
    WIDTH: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add the parts of one token's x to its residual, and norm that."""
    column = tl.arange(0, BLOCK)
    real = column < WIDTH
    scale = tl.load(weight + column, mask=real, other=0.0)
    scale = scale.to(tl.float32)
    token = tl.program_id(0).to(tl.int64)
    element = token * WIDTH + column
    added = tl.load(residual + element, mask=real, other=0.0).to(tl.float32)
    for part in tl.static_range(PARTS):
        part_element = x + part * part_size + element
        part_value = tl.load(part_element, mask=real, other=0.0)
        added += part_value.to(tl.float32)
    kept = added.to(residual.dtype.element_ty)
    tl.store(residual + element, kept, mask=real)
    value = kept.to(tl.float32)
    square_sum = tl.sum(value * value, 0)
    mean_square = square_sum / WIDTH
    value = value * tl.rsqrt(mean_square + eps)
    normed = value * scale
    tl.store(out + element, normed.to(out.dtype.element_ty), mask=real)


@triton.jit
def _rotate(  # type: ignore[no-untyped-def]
    qkv,
    cos,
    sin,
    place,
    norm,
    out,
    keys,
    values,
    eps,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    DIM: tl.constexpr,
    NORMED: tl.constexpr,
):
    """Norm and rotate one head of one token, and put it where it belongs; values only move."""
    token = tl.program_id(0)
    head = tl.program_id(1)
    HALF: tl.constexpr = DIM // 2
    ALL_HEADS: tl.constexpr = HEADS + 2 * KV_HEADS
    offset = tl.arange(0, HALF)
    row = token * ALL_HEADS + head
    source = qkv + row * DIM + offset
    low = tl.load(source)
    high = tl.load(source + HALF)
    cached = tl.load(place + token).to(tl.int64) * KV_HEADS

    if head < HEADS + KV_HEADS:  # a query or a key
        low_value = low.to(tl.float32)
        high_value = high.to(tl.float32)
        if NORMED:
            low_square = tl.sum(low_value * low_value, 0)
            high_square = tl.sum(high_value * high_value, 0)
            mean_square = (low_square + high_square) / DIM
            scale = tl.rsqrt(mean_square + eps)
            head_norm = norm + head * DIM
            low_norm = tl.load(head_norm + offset)
            low_value = low_value * scale * low_norm.to(tl.float32)
            high_norm = tl.load(head_norm + HALF + offset)
            high_value = high_value * scale * high_norm.to(tl.float32)
        # The table's first half of the sine is negative: the second is the sine itself.
        cosine = tl.load(cos + token * DIM + offset)
        sine = tl.load(sin + token * DIM + HALF + offset)
        rotated_low = low_value * cosine - high_value * sine
        rotated_high = high_value * cosine + low_value * sine
        low = rotated_low.to(low.dtype)
        high = rotated_high.to(high.dtype)

    if head < HEADS:
        target = out + (token * HEADS + head) * DIM + offset
    elif head < HEADS + KV_HEADS:
        target = keys + (cached + head - HEADS) * DIM + offset
    else:
        target = values + (cached + head - HEADS - KV_HEADS) * DIM + offset
    tl.store(target, low)
    tl.store(target + HALF, high)


@triton.jit
def _gate(gate_up, out, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Gate a block of one token's columns."""
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    real = column < WIDTH
    source = gate_up + token * 2 * WIDTH
    gated = tl.load(source + column, mask=real, other=0.0).to(tl.float32)
    up = tl.load(source + WIDTH + column, mask=real, other=0.0).to(tl.float32)
    value = gated / (1.0 + tl.exp(-gated)) * up
    tl.store(out + token * WIDTH + column, value.to(out.dtype.element_ty), mask=real)


@triton.jit
def _largest(scores, out, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Find the first of the highest scores of one row."""
    row = tl.program_id(0).to(tl.int64)
    offset = tl.arange(0, BLOCK)
    row_scores = scores + row * WIDTH
    best = tl.full([BLOCK], float("-inf"), tl.float32)
    best_column = offset
    for start in range(0, WIDTH, BLOCK):
        column = start + offset
        block_scores = row_scores + start
        score = tl.load(block_scores + offset, mask=column < WIDTH, other=float("-inf"))
        higher = score > best
        best = tl.where(higher, score.to(tl.float32), best)
        best_column = tl.where(higher, column, best_column)
    top = tl.max(best, 0)
    first_of_top = tl.min(tl.where(best == top, best_column, WIDTH), 0)
    tl.store(out + row, first_of_top)
