"""A GPU's own attention over the paged KV cache: decode in Triton, chunks through FlashAttention.

Decode reads each context's length on the device, so one captured graph serves every context. The
keys of a row are split among programs that each keep a running softmax (Flash-Decoding, Dao et al.,
2023); the last to end joins them.
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

LOG2_E = 1.4426950408889634
MULTIPROCESSORS = 132  # of an H100 and an H200

# What follows is what is fastest on an H200, 2026-11-24; figures are of a step of 8B at batch 32.
KEY_BLOCK = 32  # keys that a program reads at a time; 64, with 3 stages: 1 % longer at 257
STAGES = 5  # of how many times at once
PROGRAMS = 512  # to aim for, about four per multiprocessor
# 1024 programs: 1 to 2 % longer, 256: 5 % at 4,352 tokens of context.
MOST_SPLITS = 16  # of a row's keys
SHORT = 512  # keys that one program is given alone, where rows enough keep the GPU busy
FLASH_PAGE = (
    256  # FlashAttention-2 reads paged caches only in multiples of this many tokens
)

VARLEN_PARAMETERS = inspect.signature(
    varlen_attn
).parameters  # they differ by torch's version


class CudaAttention(PagedAttention):
    """Decode through Triton in any precision; chunks through FlashAttention in 16 bits."""

    def prepare_singles(self) -> None:
        """Work out what the layers share for the rows with one query."""
        self.blocks = self.table[: self.singles]
        self.lengths = self.context[: self.singles]
        self.arrived: Tensor | None = None

    def prepare_chunks(self) -> None:
        """Work out what the layers share for the rows behind them."""
        chunk_rows = slice(self.singles, None)
        queries = self.plan.queries[chunk_rows]
        contexts = self.plan.contexts[chunk_rows]
        self.longest = max(queries), max(contexts)
        query_end = self.query_end[chunk_rows] - self.singles
        key_end = self.context[chunk_rows].cumsum(0, dtype=torch.int32)
        self.query_start = F.pad(query_end, (1, 0))
        self.key_start = F.pad(key_end, (1, 0))

        # Where each key of the chunks' rows is in the cache, one row after the other.
        key_index = torch.arange(sum(contexts), device=self.table.device, dtype=torch.int32)
        key_row = torch.searchsorted(
            self.key_start[1:], key_index, right=True, out_int32=True
        )
        offset = key_index - self.key_start[key_row]
        block_index = offset // self.block_size
        block_number = self.table[chunk_rows][key_row, block_index]
        offset_in_block = offset % self.block_size
        self.key_place = block_number * self.block_size + offset_in_block

    def attend_singles(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with one query per row."""
        if self.arrived is None:  # each layer leaves zeros behind
            group_count = self.singles * keys.shape[-2]
            self.arrived = torch.zeros(group_count, dtype=torch.int32, device=query.device)
        return decode(query, keys, values, self.blocks, self.lengths, self.arrived)

    def attend_chunks(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with the queries behind those of the single rows."""
        if query.dtype == torch.float32:  # FlashAttention has none
            if not self.chunks:
                super().prepare_chunks()
            return super().attend_chunks(query, keys, values)
        options: dict[str, Any] = {
            "window_size": (-1, 0)
        }  # causal, from the end of each context
        if "enable_gqa" in VARLEN_PARAMETERS:
            options["enable_gqa"] = True
        if "block_table" in VARLEN_PARAMETERS and self.block_size % FLASH_PAGE == 0:
            options["block_table"] = self.table[self.singles :]
            options["seqused_k"] = self.context[self.singles :]
        else:
            keys = self._chunk_rows(keys)
            values = self._chunk_rows(values)
        attended = varlen_attn(
            query[self.singles :],
            keys,
            values,
            self.query_start,
            self.key_start,
            *self.longest,
            **options,
        )
        return cast(Tensor, attended)

    def _chunk_rows(self, cache: Tensor) -> Tensor:
        """Return what the chunks' rows have cached, row after row, (keys, K, D)."""
        flat_cache = cache.view(-1, *cache.shape[-2:])
        return flat_cache.index_select(0, self.key_place)


def decode(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    table: Tensor,
    lengths: Tensor,
    arrived: Tensor,
) -> Tensor:
    """Return (b, heads, D): one query per row, over cached tokens.

    A row has `lengths` (b,) tokens, in the blocks of `table` (b, W). Keys and values are
    (blocks, block, K, D); heads / K query heads share one of the latter. `arrived`, (b * K,), is
    zeros, before and after.
    """
    row_count, head_count, head_dim = query.shape
    page_size, kv_heads = keys.shape[1:3]
    groups = row_count * kv_heads
    splits = triton.next_power_of_2(PROGRAMS // groups)
    splits = max(1, min(MOST_SPLITS, splits))
    least_keys = SHORT if groups >= MULTIPROCESSORS else KEY_BLOCK
    heads_per_group = triton.next_power_of_2(head_count // kv_heads)

    # What each split found, for the last of them to join.
    top = torch.empty(
        row_count, head_count, splits, dtype=torch.float32, device=query.device
    )
    total = torch.empty_like(top)
    partials = torch.empty(
        row_count, head_count, splits, head_dim, dtype=torch.float32, device=query.device
    )
    attended = torch.empty_like(query)
    _decode[row_count, kv_heads, splits](
        query,
        keys,
        values,
        table,
        lengths,
        top,
        total,
        partials,
        arrived,
        attended,
        LOG2_E / head_dim**0.5,
        table.stride(0),
        HEADS=head_count,
        KV_HEADS=kv_heads,
        DIM=head_dim,
        PAGE=page_size,
        KEYS=KEY_BLOCK,
        SPLITS=splits,
        LEAST=least_keys,
        ROWS=max(16, heads_per_group),
        PRECISION="ieee" if query.dtype == torch.float32 else "tf32",
        num_warps=4,
        num_stages=STAGES,
    )
    return attended


@triton.jit
def _decode(  # type: ignore[no-untyped-def]
    query,
    keys,
    values,
    table,
    lengths,
    tops,
    totals,
    parts,
    arrived,
    out,
    scale,
    table_stride,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    DIM: tl.constexpr,
    PAGE: tl.constexpr,
    KEYS: tl.constexpr,
    SPLITS: tl.constexpr,
    LEAST: tl.constexpr,
    ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Attend to one split of one row's keys with the query heads of one key-value head.

    The last split to end joins all. A split has at least LEAST keys: a short row has fewer splits
    than there are programs for them.
    """
    row = tl.program_id(0)
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    GROUP: tl.constexpr = HEADS // KV_HEADS
    member = tl.arange(0, ROWS)
    dim = tl.arange(0, DIM)
    offset = tl.arange(0, KEYS)
    real = member < GROUP
    head = row * HEADS + kv_head * GROUP + member

    # The keys [first, last) of this split.
    length = tl.load(lengths + row)
    blocks_per_split = tl.cdiv(tl.cdiv(length, KEYS), SPLITS)
    share = tl.maximum(blocks_per_split * KEYS, LEAST)
    first = split * share
    if first >= length:
        return
    splits = tl.cdiv(length, share)
    last = tl.minimum(first + share, length)

    # A running softmax: the highest score so far, the sum of the weights relative to it, and the
    # weighted sum of the values.
    query_rows = query + head[:, None] * DIM
    group_query = tl.load(query_rows + dim[None, :], mask=real[:, None], other=0.0)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    part = tl.zeros([ROWS, DIM], tl.float32)
    for start in range(first, last, KEYS):
        key = start + offset
        seen = key < last
        table_row = table + row * table_stride
        page_entry = table_row + key // PAGE
        page = tl.load(page_entry, mask=seen, other=0).to(tl.int64)
        token_place = page * PAGE + key % PAGE
        place = (token_place * KV_HEADS + kv_head) * DIM
        key_rows = keys + place[:, None]
        key_block = tl.load(key_rows + dim[None, :], mask=seen[:, None], other=0.0)
        product = tl.dot(group_query, tl.trans(key_block), input_precision=PRECISION)
        score = product * scale
        score = tl.where(seen[None, :], score, float("-inf"))
        block_top = tl.max(score, 1)
        new_top = tl.maximum(top, block_top)
        weight = tl.exp2(score - new_top[:, None])
        shrink = tl.exp2(top - new_top)
        block_total = tl.sum(weight, 1)
        total = total * shrink + block_total
        value_rows = values + place[:, None]
        value_block = tl.load(value_rows + dim[None, :], mask=seen[:, None], other=0.0)
        weighted = tl.dot(
            weight.to(value_block.dtype), value_block, input_precision=PRECISION
        )
        part = part * shrink[:, None] + weighted
        top = new_top

    if splits == 1:
        joined = part / total[:, None]
        out_rows = out + head[:, None] * DIM
        tl.store(
            out_rows + dim[None, :], joined.to(out.dtype.element_ty), mask=real[:, None]
        )
    else:
        entry = head * SPLITS + split
        tl.store(tops + entry, top, mask=real)
        tl.store(totals + entry, total, mask=real)
        part_rows = parts + entry[:, None] * DIM
        tl.store(part_rows + dim[None, :], part, mask=real[:, None])
        tl.debug_barrier()  # all threads have stored before one of them says so
        counter = arrived + row * KV_HEADS + kv_head
        if tl.atomic_add(counter, 1, sem="acq_rel") == splits - 1:
            tl.store(counter, 0)
            first_head = row * HEADS + kv_head * GROUP
            for index in tl.static_range(GROUP):
                _join(tops, totals, parts, out, first_head + index, splits, DIM, SPLITS)


@triton.jit
def _join(  # type: ignore[no-untyped-def]
    tops, totals, parts, out, head, splits, DIM: tl.constexpr, SPLITS: tl.constexpr
):
    """Join the splits of one head."""
    split = tl.arange(0, SPLITS)
    dim = tl.arange(0, DIM)
    entry = head * SPLITS + split
    real = split < splits
    top = tl.load(tops + entry, mask=real, other=float("-inf"))
    top_of_all = tl.max(top, 0)
    weight = tl.exp2(top - top_of_all)
    split_total = tl.load(totals + entry, mask=real, other=0.0)
    total = tl.sum(weight * split_total, 0)
    part_rows = parts + entry[:, None] * DIM
    part = tl.load(
        part_rows + dim[None, :],
        mask=real[:, None],
        other=0.0,
    )
    weighted = part * weight[:, None]
    joined = tl.sum(weighted, 0) / total
    target = out + head * DIM + dim
    tl.store(target, joined.to(out.dtype.element_ty))
