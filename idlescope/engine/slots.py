"""I/O slots: the host buffers that a step's inputs are packed into and its tokens come back in.

A step's inputs are one int32 array, so that one copy moves them. Two slots let the host fill one
while the device still reads the other.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import numpy as np

from idlescope.engine.running_rows import Rows, Shape
from idlescope.engine.scheduler import Batch
from idlescope.trace.table import Int32, Int64

HEADER = ("rows", "query tokens", "sampled rows", "step")
TOKEN_FIELDS = ("token id", "position", "carry-over index", "place in the KV cache")
WORD_BYTES = 4  # of an int32


class SlotLayout(NamedTuple):
    """Which words of a packed slot hold what; `Slot` says what it means."""

    header: slice
    rows: slice
    query_end: slice
    context: slice
    request: slice
    sample_at: slice
    table: slice
    tokens: slice

    @classmethod
    def of(cls, shape: Shape) -> SlotLayout:
        """Return the layout for a run's sizes."""
        row_columns = [shape.rows] * 5
        table_size = shape.rows * shape.table_width
        token_size = shape.tokens * len(TOKEN_FIELDS)
        column_sizes = [len(HEADER), *row_columns, table_size, token_size]
        column_ends = list(accumulate(column_sizes))
        starts = [0, *column_ends[:-1]]
        return cls(*map(slice, starts, column_ends))

    @property
    def words(self) -> int:
        """Return the length of the whole."""
        return int(self.tokens.stop)


class Slot:
    """Named views into one packed int32 buffer; `fill` writes a batch into them.

    Sizes: R rows, T tokens, W blocks per row of the block table, of the run's Shape. Row columns
    hold the batch's b rows in its order; the block table is indexed by row number; token columns
    come last, so that the used part is a prefix.
    """

    def __init__(
        self, shape: Shape, buffer: Int32 | None = None, output: Int32 | None = None
    ) -> None:
        layout = SlotLayout.of(shape)
        if buffer is None:
            buffer = np.zeros(layout.words, np.int32)
        if output is None:
            output = np.zeros(shape.rows, np.int32)
        self.shape = shape
        self.buffer = buffer
        self.output = output  # (R,) tokens of the sampled rows, in order

        self.header = buffer[layout.header]  # (4,) see HEADER
        self.rows = buffer[layout.rows]  # (R,) row numbers
        self.query_end = buffer[layout.query_end]  # (R,) end of each row's query tokens
        self.context = buffer[layout.context]  # (R,) cached tokens, the step's own included
        self.request = buffer[layout.request]  # (R,) request ids
        self.sample_at = buffer[layout.sample_at]  # (R,) query token of each sampled row
        self.table = buffer[layout.table].reshape(shape.rows, shape.table_width)  # (R, W)

        # (T, 4), and each column of it by name
        self.tokens = buffer[layout.tokens].reshape(shape.tokens, len(TOKEN_FIELDS))
        self.token_ids, self.positions, self.carry_over, self.cache_places = self.tokens.T

        self._counting = np.arange(1, shape.rows + 1)
        self.forget()

    def forget(self) -> None:
        """Take nothing for filled: another engine's rows come next."""
        # the version of each table row that this slot holds
        self._seen_version = np.full(self.shape.rows, -1, np.int64)
        self._rows_filled: Int64 | None = None

    def used_words(self, tokens: int) -> int:
        """Return the length of the prefix that a step of so many query tokens needs."""
        unused_tokens = self.shape.tokens - tokens
        return self.buffer.size - unused_tokens * len(TOKEN_FIELDS)

    def fill(self, batch: Batch, state: Rows) -> None:
        """Pack a batch, and note in `state` where its output will hold each row's token."""
        batch_rows = batch.rows
        row_count = batch_rows.size
        sampled_count = batch.sampled.size
        self.header[:] = row_count, batch.tokens, sampled_count, batch.step
        if (
            batch_rows is not self._rows_filled
        ):  # who runs has changed since this slot was last filled
            self._rows_filled = batch_rows
            self.rows[:row_count] = batch_rows
            self.request[:row_count] = state.request_id[batch_rows]

        # the row and the position of each query token
        if batch.tokens == row_count:  # one token per row, as in all of decode
            query_end = self._counting[:row_count]
            token_row = batch_rows
            position = batch.start
        else:
            query_end = np.cumsum(batch.queries)
            token_row = np.repeat(batch_rows, batch.queries)
            query_start = query_end - batch.queries
            position = np.repeat(batch.start - query_start, batch.queries)
            position += np.arange(batch.tokens)

        self.query_end[:row_count] = query_end
        self.sample_at[:sampled_count] = query_end[batch.sampled] - 1
        self.context[:row_count] = batch.start + batch.queries
        self._copy_table(batch_rows, state)
        self._fill_tokens(token_row, position, state)
        sampled_rows = batch_rows[batch.sampled]
        state.output_index[sampled_rows] = self._counting[:sampled_count] - 1

    def _fill_tokens(self, token_row: Int64, position: Int64, state: Rows) -> None:
        """Write the token columns, for t query tokens.

        A token that a step in flight will yield is 0 here and named by its carry-over index, which
        counts the sampled rows of the step before. The index -1 reads a static zero on the device,
        which adds the two.
        """
        token_count = position.size
        carried = position >= state.known[token_row]
        known_tokens = state.tokens[token_row, position]
        carry_over = state.output_index[token_row]
        self.token_ids[:token_count] = np.where(carried, 0, known_tokens)
        self.positions[:token_count] = position
        self.carry_over[:token_count] = np.where(carried, carry_over, -1)

        # block id * size + offset within the block, the offset being position - block * size
        block_size = self.shape.block_size
        block_index = position // block_size
        block_id = state.table[token_row, block_index]
        self.cache_places[:token_count] = (block_id - block_index) * block_size + position

    def _copy_table(self, rows: Int64, state: Rows) -> None:
        """Copy the block tables that changed since this slot last held them."""
        version = state.table_version[rows]
        changed = np.flatnonzero(version != self._seen_version[rows])
        if changed.size:
            changed_rows = rows[changed]
            self.table[changed_rows] = state.table[changed_rows]
            self._seen_version[changed_rows] = version[changed]
