"""Attention of one step's queries over the paged KV cache, in plain torch: right on any device.

Rows with one query, as in decode, come first in a batch; they are attended to together over their
gathered caches, padded to the longest. The rows behind them, from the first chunk of queries on,
are done one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Plan(NamedTuple):
    """The sizes of a step that the host knows: they shape its work on the device."""

    queries: tuple[int, ...]  # query tokens of each row
    # Cached tokens of each row, its queries included; bounds of them where padded.
    contexts: tuple[int, ...]
    sampled: int  # rows that yield a token
    # To a bucket: the device reads from the slot's header how many rows there are.
    padded: bool = False

    @property
    def decode(self) -> bool:
        """Return whether every row has one query and yields a token."""
        return self.sampled == len(self.queries) == sum(self.queries)

    @property
    def singles(self) -> int:
        """Return how many rows at the front have one query."""
        chunks = (row for row, queries in enumerate(self.queries) if queries > 1)
        return next(chunks, len(self.queries))


class Chunk(NamedTuple):
    """A row with several queries."""

    queries: slice  # which of the query tokens of the step are its
    blocks: Tensor  # (1, n) of its cache
    seen: Tensor  # (queries, keys): whether a query sees a key


class PagedAttention:
    """Made once per step, for all layers.

    Sizes: b rows, T query tokens, W table columns, K key-value heads, D of a head. `table` is
    (b, W), `context` (b,), `query_end` (b,): as in the step's slot, on the device.
    """

    def __init__(
        self, plan: Plan, table: Tensor, context: Tensor, query_end: Tensor, block_size: int
    ) -> None:
        self.plan = plan
        self.table = table
        self.context = context
        self.query_end = query_end
        self.block_size = block_size
        self.singles = plan.singles
        self.chunks: list[Chunk] = []
        self.prepare_singles()
        if self.singles < len(plan.queries):
            self.prepare_chunks()

    def prepare_singles(self) -> None:
        """Work out what the layers share for the rows with one query."""
        width = self._blocks_for(self.plan.contexts[: self.singles])
        self.blocks = self.table[: self.singles, :width]
        key = torch.arange(width * self.block_size, device=self.table.device)
        seen = key < self.context[: self.singles, None]
        self.seen = seen[:, None, None]  # (singles, 1, 1, keys)

    def prepare_chunks(self) -> None:
        """Work out what the layers share for the rows behind them."""
        device = self.table.device
        start = self.singles
        for row in range(self.singles, len(self.plan.queries)):
            queries = self.plan.queries[row]
            cached = self.plan.contexts[row]
            blocks = self.table[row : row + 1, : self._blocks_for((cached,))]
            key_count = blocks.numel() * self.block_size
            key = torch.arange(key_count, device=device)
            query = torch.arange(cached - queries, cached, device=device)
            seen = key <= query[:, None]
            end = start + queries
            self.chunks.append(Chunk(slice(start, end), blocks, seen))
            start = end

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return (T, heads, D) of queries (T, heads, D) over one layer's cache.

        Keys and values are (blocks, block, K, D).
        """
        if self.singles == query.shape[0]:
            return self.attend_singles(query, keys, values)
        parts = []
        if self.singles:
            parts.append(self.attend_singles(query[: self.singles], keys, values))
        parts.append(self.attend_chunks(query, keys, values))
        return torch.cat(parts)

    def attend_singles(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with one query per row: heads that share a key-value head stand as its queries."""
        row_keys = gather(keys, self.blocks)
        row_values = gather(values, self.blocks)
        rows, kv_heads = row_keys.shape[:2]
        grouped = query.view(rows, kv_heads, -1, query.shape[-1])
        seen = self.seen.expand(-1, 1, grouped.shape[2], -1)
        attended = F.scaled_dot_product_attention(grouped, row_keys, row_values, seen)
        return attended.view_as(query)

    def attend_chunks(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with the queries behind those of the single rows."""
        parts = []
        for chunk in self.chunks:
            row_keys = gather(keys, chunk.blocks)
            row_values = gather(values, chunk.blocks)
            chunk_query = query[chunk.queries].transpose(0, 1)[None]
            attended = F.scaled_dot_product_attention(
                chunk_query, row_keys, row_values, chunk.seen, enable_gqa=True
            )
            parts.append(attended[0].transpose(0, 1))
        return torch.cat(parts)

    def _blocks_for(self, contexts: tuple[int, ...]) -> int:
        """Return the blocks of the longest context."""
        return -(-max(contexts, default=0) // self.block_size)


def gather(cache: Tensor, blocks: Tensor) -> Tensor:
    """Return (b, K, n * block, D) of a cache (blocks, block, K, D) and block ids (b, n)."""
    rows, count = blocks.shape
    gathered = cache.index_select(0, blocks.reshape(-1))
    by_row = gathered.view(rows, count * cache.shape[1], *cache.shape[2:])
    return by_row.transpose(1, 2)
