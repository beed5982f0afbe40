"""A GPU's own kernels, in Triton: decode over the paged KV cache, and all that is between the matrix products.

Chunks of prefill go through FlashAttention.

Decode reads each context's length on the device, so one captured graph serves every context. The keys of a row are
split among programs that each keep a running softmax (Flash-Decoding, Dao et al., 2023); the last to end joins them.

A decode step has nine kernels a layer, and each costs 2 to 3 us beside what it reads: so nothing is done in a kernel
of its own that another can do on the way. Programmatic dependent launch is not used: with it graphs were 1.6 % faster
in a process's first device, and 1.1 % slower in those after (torch 2.11, triton 3.6, H200, 2026-11-24).
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

from idlescope.engine.network.attention import PagedAttention
from idlescope.engine.network.decoder import Kernels

LOG2_E = 1.4426950408889634
# What follows is what is fastest on an H200, 2026-11-24; figures are of a step of 8B at batch 32.
BLOCK, STAGES = (
    32,
    5,
)  # keys that a program reads at a time, and of how many times at once; 64 and 3: 1 % longer at 257
PROGRAMS = 512  # to aim for, about four a multiprocessor; 1024: 1 to 2 % longer, 256: 5 % at 4,352 tokens of context
MOST_SPLITS = 16  # of a row's keys
SHORT = (
    512  # keys that one program is given alone, where there are rows enough to keep the GPU busy
)
FEW_TOKENS = 128  # up to so many, products whose output is narrow are summed in parts; not at all: 3 % longer
TILE, MULTIPROCESSORS = (
    64,
    132,
)  # columns that a program of a product has as a rule; of an H100 and an H200
PARAMETERS = inspect.signature(varlen_attn).parameters
FLASH_PAGE = 256  # FlashAttention-2 reads paged caches only in multiples of this many tokens


class CudaAttention(PagedAttention):
    """Decode through Triton in any precision; chunks through FlashAttention where the cache is of 16 bits."""

    def prepare_singles(self) -> None:
        """Work out what the layers share for the rows with one query."""
        self.blocks = self.table[: self.singles]
        self.lengths = self.context[: self.singles]
        self.arrived: Tensor | None = None

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
        if self.arrived is None:  # each layer leaves zeros behind
            self.arrived = torch.zeros(
                self.singles * keys.shape[-2], dtype=torch.int32, device=query.device
            )
        return decode(query, keys, values, self.blocks, self.lengths, self.arrived)

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
            options |= {
                "block_table": self.table[self.singles :],
                "seqused_k": self.context[self.singles :],
            }
        else:
            keys, values = (
                cache.view(-1, kv_heads, dim).index_select(0, self.key_place)
                for cache in (keys, values)
            )
        return cast(Tensor, varlen_attn(query, keys, values, *starts, *self.longest, **options))


def add_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Do in one kernel what `decoder.add_norm` does, of x in parts as `project` leaves them, too."""
    tokens, width = residual.shape
    out = torch.empty_like(residual)
    _add_norm[tokens,](
        x, residual, weight, out, eps, tokens * width, WIDTH=width, PARTS=x.numel() // residual.numel(),
        BLOCK=triton.next_power_of_2(width), num_warps=8,
    )  # fmt: skip
    return out


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
    """Do in one kernel what `decoder.rotate_and_cache` does."""
    kv_heads, dim = keys.shape[-2:]
    tokens, heads = qkv.shape[0], qkv.shape[1] - 2 * kv_heads
    out = torch.empty(tokens, heads, dim, dtype=qkv.dtype, device=qkv.device)
    _rotate[tokens, heads + 2 * kv_heads](
        qkv, cos, sin, place, qkv if norm is None else norm, out, keys, values, eps,
        HEADS=heads, KV_HEADS=kv_heads, DIM=dim, NORMED=norm is not None, num_warps=1,
    )  # fmt: skip
    return out


def gate(gate_up: Tensor) -> Tensor:
    """Do in one kernel what `decoder.gate` does."""
    tokens, width = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty(tokens, width, dtype=gate_up.dtype, device=gate_up.device)
    block = 1024
    _gate[tokens, triton.cdiv(width, block)](gate_up, out, WIDTH=width, BLOCK=block, num_warps=4)
    return out


def project(x: Tensor, weight: Tensor) -> Tensor:
    """Return x, (T, in), times a matrix (out, in): for few rows in parts, (parts, T, out).

    A product of few rows and columns keeps a GPU busy only where its sum is split. cuBLAS does so, too, and then adds
    the parts in a kernel of its own.
    """
    count = parts(x.shape[0], *weight.shape)
    if count == 1:
        return F.linear(x, weight)
    return torch.bmm(
        x.view(x.shape[0], count, -1).transpose(0, 1),
        weight.view(weight.shape[0], count, -1).permute(1, 2, 0),
    )


def parts(tokens: int, out: int, width: int) -> int:
    """Return in how many parts to sum a product."""
    if tokens > FEW_TOKENS:
        return 1
    count = 1
    while 2 * count * (out // TILE) <= MULTIPROCESSORS and width % (16 * count) == 0:
        count *= 2
    return count


def largest(logits: Tensor) -> Tensor:
    """Do in one kernel what `sampling.largest` does."""
    out = torch.empty(logits.shape[0], dtype=torch.int32, device=logits.device)
    _largest[logits.shape[0],](logits, out, WIDTH=logits.shape[1], BLOCK=8192, num_warps=16)
    return out


def decode(
    query: Tensor, keys: Tensor, values: Tensor, table: Tensor, lengths: Tensor, arrived: Tensor
) -> Tensor:
    """Return (b, heads, D): one query a row, over `lengths` (b,) cached tokens in the blocks of `table` (b, W).

    Keys and values are (blocks, block, K, D); heads / K query heads share one of the latter. `arrived` (b * K,) is
    zeros, before and after.
    """
    b, heads, dim = query.shape
    page, kv_heads = keys.shape[1:3]
    splits = max(1, min(MOST_SPLITS, triton.next_power_of_2(PROGRAMS // (b * kv_heads))))
    least = SHORT if b * kv_heads >= MULTIPROCESSORS else BLOCK
    top = torch.empty(b, heads, splits, dtype=torch.float32, device=query.device)
    total = torch.empty_like(top)
    part = torch.empty(b, heads, splits, dim, dtype=torch.float32, device=query.device)
    out = torch.empty_like(query)
    _decode[b, kv_heads, splits](
        query, keys, values, table, lengths, top, total, part, arrived, out, LOG2_E / dim**0.5, table.stride(0),
        HEADS=heads, KV_HEADS=kv_heads, DIM=dim, PAGE=page, KEYS=BLOCK, SPLITS=splits, LEAST=least,
        ROWS=max(16, triton.next_power_of_2(heads // kv_heads)),
        PRECISION="ieee" if query.dtype == torch.float32 else "tf32", num_warps=4, num_stages=STAGES,
    )  # fmt: skip
    return out


KERNELS = Kernels(add_norm, rotate_and_cache, gate, project, largest)


@triton.jit
def _add_norm(  # type: ignore[no-untyped-def]
    x, residual, weight, out, eps, part_size, WIDTH: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Add the parts of one token's x to its residual, and norm that."""
    column = tl.arange(0, BLOCK)
    real = column < WIDTH
    scale = tl.load(weight + column, mask=real, other=0.0).to(tl.float32)
    at = tl.program_id(0).to(tl.int64) * WIDTH + column
    added = tl.load(residual + at, mask=real, other=0.0).to(tl.float32)
    for part in tl.static_range(PARTS):
        added += tl.load(x + part * part_size + at, mask=real, other=0.0).to(tl.float32)
    kept = added.to(residual.dtype.element_ty)
    tl.store(residual + at, kept, mask=real)
    value = kept.to(tl.float32)
    value = value * tl.rsqrt(tl.sum(value * value, 0) / WIDTH + eps)
    tl.store(out + at, (value * scale).to(out.dtype.element_ty), mask=real)


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
def _gate(gate_up, out, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Gate a block of one token's columns."""
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    real = column < WIDTH
    gated = tl.load(gate_up + token * 2 * WIDTH + column, mask=real, other=0.0).to(tl.float32)
    up = tl.load(gate_up + token * 2 * WIDTH + WIDTH + column, mask=real, other=0.0).to(tl.float32)
    value = gated / (1.0 + tl.exp(-gated)) * up
    tl.store(out + token * WIDTH + column, value.to(out.dtype.element_ty), mask=real)


@triton.jit
def _largest(scores, out, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Find the first of the highest scores of one row."""
    row, offset = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    best = tl.full([BLOCK], float("-inf"), tl.float32)
    where = offset
    for start in range(0, WIDTH, BLOCK):
        score = tl.load(
            scores + row * WIDTH + start + offset, mask=start + offset < WIDTH, other=float("-inf")
        )
        higher = score > best
        best = tl.where(higher, score.to(tl.float32), best)
        where = tl.where(higher, start + offset, where)
    top = tl.max(best, 0)
    tl.store(out + row, tl.min(tl.where(best == top, where, WIDTH), 0))


@triton.jit
def _decode(  # type: ignore[no-untyped-def]
    query, keys, values, table, lengths, tops, totals, parts, arrived, out, scale, table_stride,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr, PAGE: tl.constexpr, KEYS: tl.constexpr,
    SPLITS: tl.constexpr, LEAST: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attend to one split of one row's keys with the query heads of one key-value head; the last one joins all.

    A split has at least LEAST keys: a short row has fewer splits than there are programs for them.
    """
    row, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    GROUP: tl.constexpr = HEADS // KV_HEADS
    lane, dim, offset = tl.arange(0, ROWS), tl.arange(0, DIM), tl.arange(0, KEYS)
    real = lane < GROUP
    head = row * HEADS + kv_head * GROUP + lane
    length = tl.load(lengths + row)
    share = tl.maximum(tl.cdiv(tl.cdiv(length, KEYS), SPLITS) * KEYS, LEAST)
    first = split * share
    if first >= length:
        return
    splits = tl.cdiv(length, share)
    last = tl.minimum(first + share, length)
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
    if splits == 1:
        joined = part / total[:, None]
        tl.store(
            out + head[:, None] * DIM + dim[None, :],
            joined.to(out.dtype.element_ty),
            mask=real[:, None],
        )
    else:
        at = head * SPLITS + split
        tl.store(tops + at, top, mask=real)
        tl.store(totals + at, total, mask=real)
        tl.store(parts + at[:, None] * DIM + dim[None, :], part, mask=real[:, None])
        tl.debug_barrier()  # all threads have stored before one of them says so
        here = arrived + row * KV_HEADS + kv_head
        if tl.atomic_add(here, 1, sem="acq_rel") == splits - 1:
            tl.store(here, 0)
            for member in tl.static_range(GROUP):
                _join(
                    tops,
                    totals,
                    parts,
                    out,
                    row * HEADS + kv_head * GROUP + member,
                    splits,
                    DIM,
                    SPLITS,
                )


@triton.jit
def _join(  # type: ignore[no-untyped-def]
    tops, totals, parts, out, head, splits, DIM: tl.constexpr, SPLITS: tl.constexpr
):
    """Join the splits of one head."""
    split, dim = tl.arange(0, SPLITS), tl.arange(0, DIM)
    at, real = head * SPLITS + split, split < splits
    top = tl.load(tops + at, mask=real, other=float("-inf"))
    weight = tl.exp2(top - tl.max(top, 0))
    total = tl.sum(weight * tl.load(totals + at, mask=real, other=0.0), 0)
    part = tl.load(parts + at[:, None] * DIM + dim[None, :], mask=real[:, None], other=0.0)
    joined = tl.sum(part * weight[:, None], 0) / total
    tl.store(out + head * DIM + dim, joined.to(out.dtype.element_ty))
