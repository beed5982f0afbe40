"""A GPU's own kernels, in Triton: decode over the paged KV cache, and rotary embedding with the cache's writes.

Chunks of prefill go through FlashAttention.

Decode reads each context's length on the device, so one captured graph serves every context. The keys of a row are
split among programs that each keep a running softmax; a second kernel joins them (Flash-Decoding, Dao et al., 2023).
"""

from __future__ import annotations

import inspect
from typing import Any, cast

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from idlescope.engine.attention import PagedAttention

LOG2_E = 1.4426950408889634
BLOCK = 64  # keys that a program reads at a time
# To aim for, about four a multiprocessor: with 1024 a step of 8B at batch 32 is 1 to 2 % longer (H200, 2026-11-24).
PROGRAMS = 512
PARAMETERS = inspect.signature(varlen_attn).parameters
FLASH_PAGE = 256  # FlashAttention-2 reads paged caches only in multiples of this many tokens


class CudaAttention(PagedAttention):
    """Decode through Triton in any precision; chunks through FlashAttention where the cache is of 16 bits."""

    def prepare_singles(self) -> None:
        """Work out what the layers share for the rows with one query."""
        self.blocks = self.table[: self.singles]
        self.lengths = self.context[: self.singles]

    def prepare_chunks(self) -> None:
        """Work out what the layers share for the rows behind them."""
        chunks = self.plan.queries[self.singles :], self.plan.contexts[self.singles :]
        self.longest = max(chunks[0]), max(chunks[1])
        self.query_start = F.pad(self.query_end[self.singles :] - self.singles, (1, 0))
        self.key_start = F.pad(self.context[self.singles :].cumsum(0, dtype=torch.int32), (1, 0))
        # where each key of the chunks' rows is in the cache, one row after the other
        key = torch.arange(sum(chunks[1]), device=self.table.device, dtype=torch.int32)
        row = torch.searchsorted(self.key_start[1:], key, right=True, out_int32=True)
        offset = key - self.key_start[row]
        block = self.table[self.singles :][row, offset // self.block_size]
        self.key_place = block * self.block_size + offset % self.block_size

    def attend_singles(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with one query a row."""
        return decode(query, keys, values, self.blocks, self.lengths)

    def attend_chunks(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with the queries behind those of the single rows."""
        if query.dtype == torch.float32:  # FlashAttention has none
            if not self.chunks:
                super().prepare_chunks()
            return super().attend_chunks(query, keys, values)
        query = query[self.singles :]
        kv_heads, dim = keys.shape[-2:]
        options: dict[str, Any] = {"window_size": (-1, 0)}  # causal, from the end of each context
        if "enable_gqa" in PARAMETERS:
            options["enable_gqa"] = True
        starts = self.query_start, self.key_start
        if "block_table" in PARAMETERS and self.block_size % FLASH_PAGE == 0:
            options |= {"block_table": self.table[self.singles :], "seqused_k": self.context[self.singles :]}
        else:
            keys, values = (cache.view(-1, kv_heads, dim).index_select(0, self.key_place) for cache in (keys, values))
        return cast(Tensor, varlen_attn(query, keys, values, *starts, *self.longest, **options))


def rotate_and_cache(
    qkv: Tensor, cos: Tensor, sin: Tensor, place: Tensor, keys: Tensor, values: Tensor, norm: Tensor | None, eps: float
) -> Tensor:
    """Do in one kernel what `decoder.rotate_and_cache` does.

    Compiled by torch 2.11, that one copied the whole cache in every layer (H100, 2026-11-24).
    """
    kv_heads, dim = keys.shape[-2:]
    tokens, heads = qkv.shape[0], qkv.shape[1] - 2 * kv_heads
    out = torch.empty(tokens, heads, dim, dtype=qkv.dtype, device=qkv.device)
    _rotate[tokens, heads + 2 * kv_heads](
        qkv, cos, sin, place, qkv if norm is None else norm, out, keys, values, eps,
        HEADS=heads, KV_HEADS=kv_heads, DIM=dim, NORMED=norm is not None, num_warps=1,
    )  # fmt: skip
    return out


def decode(query: Tensor, keys: Tensor, values: Tensor, table: Tensor, lengths: Tensor) -> Tensor:
    """Return (b, heads, D): one query a row, over `lengths` (b,) cached tokens in the blocks of `table` (b, W).

    Keys and values are (blocks, block, K, D); heads / K query heads share one of the latter.
    """
    b, heads, dim = query.shape
    page, kv_heads = keys.shape[1:3]
    splits = max(1, min(64, triton.next_power_of_2(PROGRAMS // (b * kv_heads))))
    top = torch.empty(b, heads, splits, dtype=torch.float32, device=query.device)
    total = torch.empty_like(top)
    part = torch.empty(b, heads, splits, dim, dtype=torch.float32, device=query.device)
    out = torch.empty_like(query)
    group = heads // kv_heads
    _split[b, kv_heads, splits](
        query, keys, values, table, lengths, top, total, part, LOG2_E / dim**0.5, table.stride(0),
        HEADS=heads, KV_HEADS=kv_heads, DIM=dim, PAGE=page, KEYS=BLOCK, SPLITS=splits,
        ROWS=max(16, triton.next_power_of_2(group)), PRECISION="ieee" if query.dtype == torch.float32 else "tf32",
        num_warps=4, num_stages=3,
    )  # fmt: skip
    _join[b * heads,](top, total, part, out, DIM=dim, SPLITS=splits, num_warps=1)
    return out


@triton.jit
def _split(  # type: ignore[no-untyped-def]
    query, keys, values, table, lengths, top_out, total_out, part_out, scale, table_stride,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr, PAGE: tl.constexpr, KEYS: tl.constexpr,
    SPLITS: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attend to one split of one row's keys with the query heads of one key-value head."""
    row, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    GROUP: tl.constexpr = HEADS // KV_HEADS
    length = tl.load(lengths + row)
    share = tl.cdiv(tl.cdiv(length, KEYS), SPLITS) * KEYS
    first = split * share
    last = tl.minimum(first + share, length)
    lane, dim, offset = tl.arange(0, ROWS), tl.arange(0, DIM), tl.arange(0, KEYS)
    real = lane < GROUP
    head = row * HEADS + kv_head * GROUP + lane
    q = tl.load(query + head[:, None] * DIM + dim[None, :], mask=real[:, None], other=0.0)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    part = tl.zeros([ROWS, DIM], tl.float32)
    for start in range(first, last, KEYS):
        key = start + offset
        seen = key < last
        page = tl.load(table + row * table_stride + key // PAGE, mask=seen, other=0).to(tl.int64)
        place = ((page * PAGE + key % PAGE) * KV_HEADS + kv_head) * DIM
        k = tl.load(keys + place[:, None] + dim[None, :], mask=seen[:, None], other=0.0)
        score = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        score = tl.where(seen[None, :], score, float("-inf"))
        new_top = tl.maximum(top, tl.max(score, 1))
        weight = tl.exp2(score - new_top[:, None])
        shrink = tl.exp2(top - new_top)
        total = total * shrink + tl.sum(weight, 1)
        v = tl.load(values + place[:, None] + dim[None, :], mask=seen[:, None], other=0.0)
        part = part * shrink[:, None] + tl.dot(weight.to(v.dtype), v, input_precision=PRECISION)
        top = new_top
    at = head * SPLITS + split
    tl.store(top_out + at, top, mask=real)
    tl.store(total_out + at, total, mask=real)
    tl.store(part_out + at[:, None] * DIM + dim[None, :], part, mask=real[:, None])


@triton.jit
def _rotate(  # type: ignore[no-untyped-def]
    qkv, cos, sin, place, norm, out, keys, values, eps,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr, NORMED: tl.constexpr,
):  # fmt: skip
    """Norm and rotate one head of one token, and put it where it belongs; values only move."""
    token, head = tl.program_id(0), tl.program_id(1)
    HALF: tl.constexpr = DIM // 2
    first = tl.arange(0, HALF)
    source = qkv + (token * (HEADS + 2 * KV_HEADS) + head) * DIM + first
    low, high = tl.load(source), tl.load(source + HALF)
    cached = tl.load(place + token).to(tl.int64) * KV_HEADS
    if head < HEADS + KV_HEADS:
        x, y = low.to(tl.float32), high.to(tl.float32)
        if NORMED:
            scale = tl.rsqrt((tl.sum(x * x, 0) + tl.sum(y * y, 0)) / DIM + eps)
            x = x * scale * tl.load(norm + head * DIM + first).to(tl.float32)
            y = y * scale * tl.load(norm + head * DIM + HALF + first).to(tl.float32)
        c, s = tl.load(cos + token * DIM + first), tl.load(sin + token * DIM + HALF + first)
        low, high = (x * c - y * s).to(low.dtype), (y * c + x * s).to(low.dtype)
    if head < HEADS:
        target = out + (token * HEADS + head) * DIM + first
    elif head < HEADS + KV_HEADS:
        target = keys + (cached + head - HEADS) * DIM + first
    else:
        target = values + (cached + head - HEADS - KV_HEADS) * DIM + first
    tl.store(target, low)
    tl.store(target + HALF, high)


@triton.jit
def _join(top_in, total_in, part_in, out, DIM: tl.constexpr, SPLITS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Join the splits of one head; those without keys weigh nothing."""
    head = tl.program_id(0)
    split, dim = tl.arange(0, SPLITS), tl.arange(0, DIM)
    top = tl.load(top_in + head * SPLITS + split)
    weight = tl.where(top == float("-inf"), 0.0, tl.exp2(top - tl.max(top, 0)))
    total = tl.sum(weight * tl.load(total_in + head * SPLITS + split), 0)
    part = tl.load(part_in + (head * SPLITS + split)[:, None] * DIM + dim[None, :])
    joined = tl.sum(part * weight[:, None], 0) / tl.where(total > 0, total, 1.0)
    tl.store(out + head * DIM + dim, joined.to(out.dtype.element_ty))
