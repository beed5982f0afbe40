"""I/O slots: the host buffers that a step's inputs are packed into and its tokens come back in.

A step's inputs are one int32 array, so that one copy moves them. Two slots let the host fill one while the device
still reads the other.
"""

from __future__ import annotations

import numpy as np

from idlescope.engine.rows import Rows, Shape
from idlescope.engine.scheduler import Batch
from idlescope.trace.model import Int32, Int64

HEADER = 4  # batch rows, query tokens, sampled rows, step
FIELDS = 4  # a query token's: id, position, carry-over index, place in the KV cache


class Slot:
    """Named views into one packed int32 buffer; `fill` writes a batch into them.

    Sizes: R rows, T tokens, W blocks a table row, of the run's Shape. Row fields hold the batch's b rows in its order;
    the block table is indexed by row number; token fields come last, so that the used part is a prefix.
    """

    def __init__(self, shape: Shape, buffer: Int32 | None = None) -> None:
        self.shape = shape
        self.buffer = np.zeros(self.words(shape), np.int32) if buffer is None else buffer
        rest = self.buffer
        self.header, rest = rest[:HEADER], rest[HEADER:]
        self.rows, rest = rest[: shape.rows], rest[shape.rows :]  # (R,) row numbers
        self.query_end, rest = rest[: shape.rows], rest[shape.rows :]  # (R,) end of each row's query tokens
        self.context, rest = rest[: shape.rows], rest[shape.rows :]  # (R,) cached tokens, the step's own included
        self.request, rest = rest[: shape.rows], rest[shape.rows :]  # (R,) request ids
        self.sample_at, rest = rest[: shape.rows], rest[shape.rows :]  # (R,) query token of each sampled row
        size = shape.rows * shape.table_width
        self.table, rest = rest[:size].reshape(shape.rows, shape.table_width), rest[size:]  # (R, W)
        self.tokens = rest.reshape(shape.tokens, FIELDS)  # (T, 4)
        self.output = np.zeros(shape.rows, np.int32)  # (R,) tokens of the sampled rows, in their order
        self._seen = np.full(shape.rows, -1, np.int64)  # version of each table row that this slot holds
        self._rows_filled: Int64 | None = None
        self._count = np.arange(1, shape.rows + 1)

    @staticmethod
    def words(shape: Shape) -> int:
        """Return the length of the packed buffer."""
        return HEADER + shape.rows * (5 + shape.table_width) + shape.tokens * FIELDS

    def used_words(self, tokens: int) -> int:
        """Return the length of the prefix that a step of so many query tokens needs."""
        return self.buffer.size - (self.shape.tokens - tokens) * FIELDS

    def fill(self, batch: Batch, state: Rows) -> None:
        """Pack a batch. A token that a step in flight will yield is 0 here and named by its carry-over index.

        The index counts the sampled rows of the step before; -1 reads a static zero, so that the device adds the two.
        """
        b, s, rows = batch.rows.size, batch.sampled.size, batch.rows
        self.header[:] = b, batch.tokens, s, batch.step
        if rows is not self._rows_filled:  # who runs has changed since this slot was last filled
            self._rows_filled = rows
            self.rows[:b] = rows
            self.request[:b] = state.id[rows]
        if batch.tokens == b:  # one token a row, as in all of decode
            ends, token_row, position = self._count[:b], rows, batch.start
        else:
            ends, token_row = np.cumsum(batch.queries), np.repeat(rows, batch.queries)
            position = np.arange(batch.tokens) + np.repeat(batch.start - (ends - batch.queries), batch.queries)
        self.query_end[:b] = ends
        self.sample_at[:s] = ends[batch.sampled] - 1
        self.context[:b] = batch.start + batch.queries
        self._copy_table(rows, state)
        carried = position >= state.known[token_row]
        fields = self.tokens[: batch.tokens]
        fields[:, 0] = np.where(carried, 0, state.tokens[token_row, position])
        fields[:, 1] = position
        fields[:, 2] = np.where(carried, state.output_index[token_row], -1)
        size = self.shape.block_size
        block = position // size
        # block id * size + offset within the block, the offset being position - block * size
        fields[:, 3] = (state.table[token_row, block] - block) * size + position
        state.output_index[rows[batch.sampled]] = self._count[:s] - 1

    def _copy_table(self, rows: Int64, state: Rows) -> None:
        """Copy the block tables that changed since this slot last held them."""
        version = state.version[rows]
        changed = np.flatnonzero(version != self._seen[rows])
        if changed.size:
            which = rows[changed]
            self.table[which] = state.table[which]
            self._seen[which] = version[changed]
