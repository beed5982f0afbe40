"""The continuous-batching scheduler: who is in the next batch, with how many tokens and blocks.

Every step it advances the running requests in order of admission (one token each in decode, a chunk
in prefill), then admits waiting ones while rows, tokens and KV blocks last. When blocks run out,
the request admitted last is preempted: its blocks go back and it starts again from its known
tokens.

Several steps may be in flight. A request that leaves its row while a step in flight still writes
its KV blocks gives them back only when that step is retired, and a token that arrives for a row's
earlier life is dropped.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from idlescope.engine.kv_cache import BlockAllocator
from idlescope.engine.requests import Finish, Request
from idlescope.engine.running_rows import Rows, Shape
from idlescope.errors import ConfigError
from idlescope.trace.table import Bool, Int32, Int64


class Batch(NamedTuple):
    """The work of one step; arrays are over the batch's rows, b of them, unless stated."""

    step: int
    rows: Int64
    queries: Int64  # query tokens
    start: Int64  # position of the first one
    sampled: Int64  # indices into `rows` of the s requests that yield a token
    life: Int64  # (s,) lives of their rows when the step was formed
    tokens: int  # query tokens in all
    context: int  # cached tokens that attention reads, the step's own included
    pairs: int  # (query, key) pairs that attention scores


class Emitted(NamedTuple):
    """Tokens that a step yielded, one per request: what a detokeniser and a response stream take.

    Arrays over the requests that yielded one.
    """

    step: int
    requests: Int32  # their ids
    tokens: Int32
    first: Bool  # the request's first token
    finished: Bool  # the request's last token


class Scheduler:
    """Holds the queue, the running rows and the block allocator."""

    def __init__(self, shape: Shape, stop_width: int = 0) -> None:
        if shape.tokens < shape.rows:
            raise ConfigError(
                f"max-batch-tokens {shape.tokens} is less than the batch size {shape.rows}: "
                "each needs one"
            )
        self.shape = shape
        self.rows = Rows(shape, stop_width)
        self.allocator = BlockAllocator(shape.blocks)
        self.waiting: deque[Request] = deque()
        self.finished: list[Request] = []
        self.running: Int64 = np.empty(0, np.int64)  # rows in order of admission
        self._retired_step = -1
        # by step in flight: blocks to free when it is retired
        self._returning: dict[int, list[Int32]] = {}

    def check(self, request: Request) -> None:
        """Raise ConfigError where a request could never run."""
        blocks = self.shape.blocks_for(request.limit)
        if blocks > self.shape.blocks:
            raise ConfigError(
                f"request {request.id} needs {blocks} KV blocks for {request.limit} tokens and "
                f"there are only {self.shape.blocks}: ask for fewer tokens or give more --kv-blocks"
            )
        if request.limit > self.shape.length:
            raise ConfigError(
                f"request {request.id} needs {request.limit} tokens, rows hold {self.shape.length}"
            )

    def add(self, request: Request) -> None:
        """Queue a request that has arrived."""
        self.waiting.append(request)

    def cancel(self, request: Request, now: int) -> None:
        """End a request where it stands: queued, running or in flight.

        One that has ended stays as it is. `now` is in ns on the run's clock.
        """
        if request.finish is not None:
            return
        if request in self.waiting:
            self.waiting.remove(request)
            self._end(request, Finish.CANCELLED, now)
        elif request in self.rows.request:
            self._release(self.rows.request.index(request))
            self._drop_inactive()
            self._end(request, Finish.CANCELLED, now)

    def schedule(self, step: int) -> Batch | None:
        """Form the next batch, with all its KV blocks allocated; None where nothing can run now."""
        row_state, running = self.rows, self.running
        budget, block_size = self.shape.tokens, self.shape.block_size

        # Every running request wants all tokens that are not computed yet, in decode that is one;
        # but none past the limit, where only the last token's retrieval is missing.
        length, start_position = row_state.length[running], row_state.computed[running]
        counts = (length - start_position) * (length < row_state.limit[running])
        total_tokens = int(counts.sum())
        if total_tokens > budget:  # first come, first served
            before = np.cumsum(counts) - counts
            counts = np.clip(budget - before, 0, counts)
            total_tokens = budget

        # Blocks for what outgrows those that a row has
        end_position = start_position + counts
        preempted = False
        room = row_state.blocks[running] * block_size
        growing = np.flatnonzero(end_position > room)
        if growing.size:
            growing_rows = running[growing]
            blocks_wanted = -(-end_position[growing] // block_size)
            blocks_needed = blocks_wanted - row_state.blocks[growing_rows]
            if int(blocks_needed.sum()) <= self.allocator.free:
                self._grow(growing_rows, blocks_needed)
            else:
                need = np.zeros(running.size, np.int64)
                need[growing] = blocks_needed
                counts, preempted = self._make_room(counts, need)
                total_tokens = int(counts.sum())

        if self.waiting and not preempted:
            chunks = self._admit(budget - total_tokens)
            counts = np.concatenate((counts, chunks))
            total_tokens += int(chunks.sum())
        return (
            self._form(step, self.running, counts, total_tokens) if total_tokens else None
        )

    def _form(self, step: int, rows: Int64, counts: Int64, total: int) -> Batch:
        """Make the batch of the rows with a count; move their state on as if its tokens were there.

        `counts` are query tokens of each row, `total` their sum.
        """
        row_state = self.rows
        taking_part = counts > 0
        if not taking_part.all():
            rows, counts = rows[taking_part], counts[taking_part]
        start_position = row_state.computed[rows]
        end_position = start_position + counts
        row_state.computed[rows] = end_position

        # a row whose last known token is in the batch yields the token after it
        sampled = np.flatnonzero(end_position == row_state.length[rows])
        yielding = rows[sampled]
        row_state.length[yielding] += 1
        row_state.last_step[rows] = step

        context = int(end_position.sum())
        pairs = context
        if total > rows.size:  # query i of a chunk sees the tokens before it and itself
            before_chunk = counts * start_position
            within_chunk = counts * (counts + 1) // 2
            pairs = int((before_chunk + within_chunk).sum())
        row_life = row_state.life[yielding]
        return Batch(
            step, rows, counts, start_position, sampled, row_life, total, context, pairs
        )

    def _grow(self, rows: Int64, need: Int64) -> None:
        """Append `need` fresh blocks to each row's table."""
        row_state = self.rows
        block_ids = self.allocator.take(int(need.sum()))
        # the row, and the column of its table, that each new block goes to
        table_row = np.repeat(rows, need)
        first_new = np.cumsum(need) - need
        column = np.arange(block_ids.size) + np.repeat(
            row_state.blocks[rows] - first_new, need
        )
        row_state.table[table_row, column] = block_ids
        row_state.blocks[rows] += need
        row_state.table_version[rows] += 1

    def _make_room(self, counts: Int64, need: Int64) -> tuple[Int64, bool]:
        """Give rows their blocks in order of admission, preempting from the end.

        Returns the counts of the rows that are left, and whether one was preempted.
        """
        running, allocator = self.running, self.allocator
        coming_back = self._coming_back()
        running_index, running_end = 0, running.size
        while running_index < running_end:
            while need[running_index] > allocator.free and running_index < running_end:
                later_free = allocator.free + coming_back
                if need[running_index] <= later_free:
                    # a step in flight will free enough: sit this one out
                    counts[running_index] = 0
                    need[running_index] = 0
                    break
                running_end -= 1
                last_admitted = int(running[running_end])
                coming_back += self._preempt(last_admitted)
            if running_index < running_end and need[running_index] > 0:
                this_row = slice(running_index, running_index + 1)
                self._grow(running[this_row], need[this_row])
            running_index += 1
        self.running = running[:running_end]
        return counts[:running_end], running_end < running.size

    def _coming_back(self) -> int:
        """Return how many blocks are freed when the steps in flight are retired."""
        block_lists = self._returning.values()
        return sum(block_ids.size for lists in block_lists for block_ids in lists)

    def _preempt(self, row: int) -> int:
        """Send a running request back to the head of the queue.

        Returns how many of its blocks a step in flight still uses.
        """
        request = self.rows.request[row]
        assert request is not None
        free_before = self.allocator.free
        blocks = int(self.rows.blocks[row])
        self._release(row)
        request.preemptions += 1
        self.waiting.appendleft(request)
        freed_blocks = self.allocator.free - free_before
        return blocks - freed_blocks

    def _admit(self, budget: int) -> Int64:
        """Give waiting requests rows and the blocks of all their known tokens.

        Returns the query tokens of each one's first chunk. Every running request keeps a free block
        to grow into, so that an admission does not preempt at once.
        """
        chunks: list[int] = []
        admitted: list[int] = []
        while self.waiting and budget > 0 and self.rows.free:
            request = self.waiting[0]
            known_tokens = request.known_length
            blocks_needed = self.shape.blocks_for(known_tokens)
            kept_free = self.running.size + len(admitted)
            if blocks_needed + kept_free > self.allocator.free:
                break
            self.waiting.popleft()
            free_row = self.rows.enter(request)
            self._grow(np.array([free_row]), np.array([blocks_needed]))
            chunk_tokens = min(known_tokens, budget)
            budget -= chunk_tokens
            chunks.append(chunk_tokens)
            admitted.append(free_row)
        if admitted:
            admitted_rows = np.array(admitted, np.int64)
            self.running = np.concatenate((self.running, admitted_rows))
        return np.array(chunks, np.int64)

    def update(self, batch: Batch, tokens: Int32, now: int) -> Emitted:
        """Take in the tokens of a step, retire the step, and end the requests that have ended.

        `tokens` are (s,) in the order of `batch.sampled`; `now` is in ns on the run's clock.
        """
        row_state = self.rows
        self._retire(batch.step)
        sampled_rows = batch.rows[batch.sampled]
        still_alive = row_state.life[sampled_rows] == batch.life
        if not still_alive.all():  # a token for a request that has left its row is dropped
            sampled_rows, tokens = sampled_rows[still_alive], tokens[still_alive]

        position = row_state.known[sampled_rows]
        known_tokens = position + 1
        row_state.tokens[sampled_rows, position] = tokens
        row_state.known[sampled_rows] = known_tokens

        stopped = (tokens[:, None] == row_state.stop_ids[sampled_rows]).any(axis=1)
        finished = stopped | (known_tokens == row_state.limit[sampled_rows])
        is_first_token = position == row_state.prompt[sampled_rows]
        emitted = Emitted(
            batch.step, row_state.request_id[sampled_rows], tokens, is_first_token, finished
        )
        for first_row in sampled_rows[is_first_token]:
            request = row_state.request[first_row]
            assert request is not None
            request.first_token_ns = now
        if finished.any():
            for finished_index in np.flatnonzero(finished):
                finish = Finish.STOP if stopped[finished_index] else Finish.LENGTH
                ended_request = self._release(int(sampled_rows[finished_index]))
                self._end(ended_request, finish, now)
            self._drop_inactive()
        return emitted

    def abandon(self) -> None:
        """Drop everything after a failure: no step is in flight any more, every block goes back."""
        for returning_step in sorted(self._returning):
            self._retire(returning_step)
        self._retired_step = np.iinfo(np.int64).max
        for running_row in self.running:
            self._release(int(running_row))
        self._drop_inactive()
        self.waiting.clear()

    def _end(self, request: Request, finish: Finish, now: int) -> None:
        request.finish = finish
        request.finished_ns = now
        self.finished.append(request)

    def _release(self, row: int) -> Request:
        """Empty a row.

        Its blocks are free at once, or when the step in flight that writes them is retired.
        """
        last_step = int(self.rows.last_step[row])
        request, block_ids = self.rows.leave(row)
        if last_step > self._retired_step:
            self._returning.setdefault(last_step, []).append(block_ids)
        else:
            self.allocator.give_back(block_ids)
        return request

    def _retire(self, step: int) -> None:
        self._retired_step = step
        for block_ids in self._returning.pop(step, ()):
            self.allocator.give_back(block_ids)

    def _drop_inactive(self) -> None:
        self.running = self.running[self.rows.active[self.running]]
