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
        chunks = (
            chunk_row for chunk_row, queries in enumerate(self.queries) if queries > 1
        )
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
        block_width = self._blocks_for(self.plan.contexts[: self.singles])
        self.blocks = self.table[: self.singles, :block_width]
        key_position = torch.arange(block_width * self.block_size, device=self.table.device)
        seen_keys = key_position < self.context[: self.singles, None]
        self.seen = seen_keys[:, None, None]  # (singles, 1, 1, keys)

    def prepare_chunks(self) -> None:
        """Work out what the layers share for the rows behind them."""
        device = self.table.device
        chunk_start = self.singles
        for chunk_row in range(self.singles, len(self.plan.queries)):
            queries = self.plan.queries[chunk_row]
            cached = self.plan.contexts[chunk_row]
            blocks = self.table[chunk_row : chunk_row + 1, : self._blocks_for((cached,))]
            key_count = blocks.numel() * self.block_size
            key_position = torch.arange(key_count, device=device)
            query_position = torch.arange(cached - queries, cached, device=device)
            seen_keys = key_position <= query_position[:, None]
            chunk_end = chunk_start + queries
            self.chunks.append(Chunk(slice(chunk_start, chunk_end), blocks, seen_keys))
            chunk_start = chunk_end

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return (T, heads, D) of queries (T, heads, D) over one layer's cache.

        Keys and values are (blocks, block, K, D).
        """
        if self.singles == query.shape[0]:
            return self.attend_singles(query, keys, values)
        attended_parts = []
        if self.singles:
            attended_parts.append(self.attend_singles(query[: self.singles], keys, values))
        attended_parts.append(self.attend_chunks(query, keys, values))
        return torch.cat(attended_parts)

    def attend_singles(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with one query per row: heads that share a key-value head stand as its queries."""
        row_keys = gather(keys, self.blocks)
        row_values = gather(values, self.blocks)
        row_count, kv_heads = row_keys.shape[:2]
        grouped = query.view(row_count, kv_heads, -1, query.shape[-1])
        seen_keys = self.seen.expand(-1, 1, grouped.shape[2], -1)
        attended = F.scaled_dot_product_attention(grouped, row_keys, row_values, seen_keys)
        return attended.view_as(query)

    def attend_chunks(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with the queries behind those of the single rows."""
        attended_parts = []
        for prompt_chunk in self.chunks:
            row_keys = gather(keys, prompt_chunk.blocks)
            row_values = gather(values, prompt_chunk.blocks)
            chunk_query = query[prompt_chunk.queries].transpose(0, 1)[None]
            attended = F.scaled_dot_product_attention(
                chunk_query, row_keys, row_values, prompt_chunk.seen, enable_gqa=True
            )
            attended_parts.append(attended[0].transpose(0, 1))
        return torch.cat(attended_parts)

    def _blocks_for(self, contexts: tuple[int, ...]) -> int:
        """Return the blocks of the longest context."""
        return -(-max(contexts, default=0) // self.block_size)


def gather(cache: Tensor, blocks: Tensor) -> Tensor:
    """Return (b, K, n * block, D) of a cache (blocks, block, K, D) and block ids (b, n)."""
    row_count, block_count = blocks.shape
    gathered = cache.index_select(0, blocks.reshape(-1))
    by_row = gathered.view(row_count, block_count * cache.shape[1], *cache.shape[2:])
    return by_row.transpose(1, 2)
