"""Attention of one step's queries over the paged KV cache, in plain torch: right on any device.

Rows with one query, as in decode, come first in a batch; they are attended to together over their gathered caches,
padded to the longest. The rows behind them, from the first chunk of queries on, are done one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Plan(NamedTuple):
    """The sizes of a step that the host knows: all that shapes its work on the device, but for what tensors hold."""

    queries: tuple[int, ...]  # query tokens of each row
    contexts: tuple[
        int, ...
    ]  # cached tokens of each row, its queries included; bounds of them where padded
    sampled: int  # rows that yield a token
    padded: bool = (
        False  # to a bucket: the device reads from the slot's header how many rows there are
    )

    @property
    def decode(self) -> bool:
        """Return whether every row has one query and yields a token."""
        return self.sampled == len(self.queries) == sum(self.queries)

    @property
    def singles(self) -> int:
        """Return how many rows at the front have one query."""
        return next(
            (row for row, queries in enumerate(self.queries) if queries > 1), len(self.queries)
        )


class PagedAttention:
    """Made once a step, for all layers. Sizes: b rows, T query tokens, W table columns, K key-value heads, D of a head.

    `table` is (b, W), `context` (b,), `query_end` (b,): as in the step's slot, on the device.
    """

    def __init__(
        self, plan: Plan, table: Tensor, context: Tensor, query_end: Tensor, block_size: int
    ) -> None:
        self.plan, self.table, self.context, self.query_end = plan, table, context, query_end
        self.block_size, self.singles = block_size, plan.singles
        self.chunks: list[
            tuple[slice, Tensor, Tensor]
        ] = []  # queries, (1, n) blocks, which keys each query sees
        self.prepare_singles()
        if self.singles < len(plan.queries):
            self.prepare_chunks()

    def prepare_singles(self) -> None:
        """Work out what the layers share for the rows with one query."""
        self.blocks = self.table[: self.singles, : self._width(self.plan.contexts[: self.singles])]
        key = torch.arange(self.blocks.shape[1] * self.block_size, device=self.table.device)
        self.seen = (key < self.context[: self.singles, None])[
            :, None, None
        ]  # (singles, 1, 1, keys)

    def prepare_chunks(self) -> None:
        """Work out what the layers share for the rows behind them."""
        device, start = self.table.device, self.singles
        for row in range(self.singles, len(self.plan.queries)):
            queries, cached = self.plan.queries[row], self.plan.contexts[row]
            blocks = self.table[row : row + 1, : self._width((cached,))]
            key = torch.arange(blocks.numel() * self.block_size, device=device)
            query = torch.arange(cached - queries, cached, device=device)
            self.chunks.append((slice(start, start + queries), blocks, key <= query[:, None]))
            start += queries

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return (T, heads, D) of queries (T, heads, D) over one layer's keys and values, (blocks, block, K, D)."""
        if self.singles == query.shape[0]:
            return self.attend_singles(query, keys, values)
        parts = (
            [] if not self.singles else [self.attend_singles(query[: self.singles], keys, values)]
        )
        return torch.cat((*parts, self.attend_chunks(query, keys, values)))

    def attend_singles(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with one query a row: the heads that share a key-value head stand where its queries would."""
        k, v = gather(keys, self.blocks), gather(values, self.blocks)
        grouped = query.view(query.shape[0], k.shape[1], -1, query.shape[-1])
        seen = self.seen.expand(-1, 1, grouped.shape[2], -1)
        return F.scaled_dot_product_attention(grouped, k, v, seen).view_as(query)

    def attend_chunks(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with the queries behind those of the single rows."""
        parts = []
        for queries, blocks, seen in self.chunks:
            k, v = gather(keys, blocks), gather(values, blocks)
            q = query[queries].transpose(0, 1)[None]
            parts.append(
                F.scaled_dot_product_attention(q, k, v, seen, enable_gqa=True)[0].transpose(0, 1)
            )
        return torch.cat(parts)

    def _width(self, contexts: tuple[int, ...]) -> int:
        return -(-max(contexts, default=0) // self.block_size)


def gather(cache: Tensor, blocks: Tensor) -> Tensor:
    """Return (b, K, n * block, D) of a cache (blocks, block, K, D) and block ids (b, n)."""
    rows, count = blocks.shape
    found = cache.index_select(0, blocks.reshape(-1))
    return found.view(rows, count * cache.shape[1], *cache.shape[2:]).transpose(1, 2)
