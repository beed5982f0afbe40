"""I/O slots: the host buffers that a step's inputs are packed into and its tokens come back in.

A step's inputs are one int32 array, so that one copy moves them. Two slots let the host fill one while the device
still reads the other.
"""

from __future__ import annotations

import numpy as np

from idlescope.engine.running_rows import Rows, Shape
from idlescope.engine.scheduler import Batch
from idlescope.trace.table import Int32, Int64

HEADER = 4  # batch rows, query tokens, sampled rows, step
FIELDS = 4  # a query token's: id, position, carry-over index, place in the KV cache


def fields_of(shape: Shape) -> dict[str, slice]:
    """Return where the fields of a packed slot are, and under "words" the whole; see `Slot` for what they hold."""
    sizes = {
        "header": HEADER,
        **dict.fromkeys(("rows", "query_end", "context", "request", "sample_at"), shape.rows),
        "table": shape.rows * shape.table_width,
        "tokens": shape.tokens * FIELDS,
    }
    ends = np.cumsum(list(sizes.values())).tolist()
    spans = {
        name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
    }
    return {**spans, "words": slice(0, ends[-1])}


class Slot:
    """Named views into one packed int32 buffer; `fill` writes a batch into them.

    Sizes: R rows, T tokens, W blocks a table row, of the run's Shape. Row fields hold the batch's b rows in its order;
    the block table is indexed by row number; token fields come last, so that the used part is a prefix.
    """

    def __init__(
        self, shape: Shape, buffer: Int32 | None = None, output: Int32 | None = None
    ) -> None:
        self.shape = shape
        fields = fields_of(shape)
        self.buffer = np.zeros(fields["words"].stop, np.int32) if buffer is None else buffer
        self.header = self.buffer[fields["header"]]
        self.rows = self.buffer[fields["rows"]]  # (R,) row numbers
        self.query_end = self.buffer[fields["query_end"]]  # (R,) end of each row's query tokens
        self.context = self.buffer[fields["context"]]  # (R,) cached tokens, the step's own included
        self.request = self.buffer[fields["request"]]  # (R,) request ids
        self.sample_at = self.buffer[fields["sample_at"]]  # (R,) query token of each sampled row
        self.table = self.buffer[fields["table"]].reshape(shape.rows, shape.table_width)  # (R, W)
        self.tokens = self.buffer[fields["tokens"]].reshape(shape.tokens, FIELDS)  # (T, 4)
        self.output = (
            np.zeros(shape.rows, np.int32) if output is None else output
        )  # (R,) of the sampled rows, in order
        self._count = np.arange(1, shape.rows + 1)
        self.forget()

    def forget(self) -> None:
        """Take nothing for filled: another engine's rows come next."""
        self._seen = np.full(
            self.shape.rows, -1, np.int64
        )  # version of each table row that this slot holds
        self._rows_filled: Int64 | None = None

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
            position = np.arange(batch.tokens) + np.repeat(
                batch.start - (ends - batch.queries), batch.queries
            )
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
