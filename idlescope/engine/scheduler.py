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
        state, running = self.rows, self.running
        budget, block_size = self.shape.tokens, self.shape.block_size

        # Every running request wants all tokens that are not computed yet, in decode that is one;
        # but none past the limit, where only the last token's retrieval is missing.
        length, start = state.length[running], state.computed[running]
        counts = (length - start) * (length < state.limit[running])
        total = int(counts.sum())
        if total > budget:  # first come, first served
            before = np.cumsum(counts) - counts
            counts = np.clip(budget - before, 0, counts)
            total = budget

        # Blocks for what outgrows those that a row has
        end = start + counts
        preempted = False
        room = state.blocks[running] * block_size
        growing = np.flatnonzero(end > room)
        if growing.size:
            growing_rows = running[growing]
            blocks_wanted = -(-end[growing] // block_size)
            blocks_needed = blocks_wanted - state.blocks[growing_rows]
            if int(blocks_needed.sum()) <= self.allocator.free:
                self._grow(growing_rows, blocks_needed)
            else:
                need = np.zeros(running.size, np.int64)
                need[growing] = blocks_needed
                counts, preempted = self._make_room(counts, need)
                total = int(counts.sum())

        if self.waiting and not preempted:
            chunks = self._admit(budget - total)
            counts = np.concatenate((counts, chunks))
            total += int(chunks.sum())
        return self._form(step, self.running, counts, total) if total else None

    def _form(self, step: int, rows: Int64, counts: Int64, total: int) -> Batch:
        """Make the batch of the rows with a count; move their state on as if its tokens were there.

        `counts` are query tokens of each row, `total` their sum.
        """
        state = self.rows
        taking_part = counts > 0
        if not taking_part.all():
            rows, counts = rows[taking_part], counts[taking_part]
        start = state.computed[rows]
        end = start + counts
        state.computed[rows] = end

        # a row whose last known token is in the batch yields the token after it
        sampled = np.flatnonzero(end == state.length[rows])
        yielding = rows[sampled]
        state.length[yielding] += 1
        state.last_step[rows] = step

        context = int(end.sum())
        pairs = context
        if total > rows.size:  # query i of a chunk sees the tokens before it and itself
            before_chunk = counts * start
            within_chunk = counts * (counts + 1) // 2
            pairs = int((before_chunk + within_chunk).sum())
        life = state.life[yielding]
        return Batch(step, rows, counts, start, sampled, life, total, context, pairs)

    def _grow(self, rows: Int64, need: Int64) -> None:
        """Append `need` fresh blocks to each row's table."""
        state = self.rows
        block_ids = self.allocator.take(int(need.sum()))
        # the row, and the column of its table, that each new block goes to
        table_row = np.repeat(rows, need)
        first_new = np.cumsum(need) - need
        column = np.arange(block_ids.size) + np.repeat(state.blocks[rows] - first_new, need)
        state.table[table_row, column] = block_ids
        state.blocks[rows] += need
        state.table_version[rows] += 1

    def _make_room(self, counts: Int64, need: Int64) -> tuple[Int64, bool]:
        """Give rows their blocks in order of admission, preempting from the end.

        Returns the counts of the rows that are left, and whether one was preempted.
        """
        running, allocator = self.running, self.allocator
        coming_back = self._coming_back()
        index, end = 0, running.size
        while index < end:
            while need[index] > allocator.free and index < end:
                later_free = allocator.free + coming_back
                if need[index] <= later_free:
                    # a step in flight will free enough: sit this one out
                    counts[index] = 0
                    need[index] = 0
                    break
                end -= 1
                last_admitted = int(running[end])
                coming_back += self._preempt(last_admitted)
            if index < end and need[index] > 0:
                this_row = slice(index, index + 1)
                self._grow(running[this_row], need[this_row])
            index += 1
        self.running = running[:end]
        return counts[:end], end < running.size

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
        freed = self.allocator.free - free_before
        return blocks - freed

    def _admit(self, budget: int) -> Int64:
        """Give waiting requests rows and the blocks of all their known tokens.

        Returns the query tokens of each one's first chunk. Every running request keeps a free block
        to grow into, so that an admission does not preempt at once.
        """
        chunks: list[int] = []
        admitted: list[int] = []
        while self.waiting and budget > 0 and self.rows.free:
            request = self.waiting[0]
            known = request.known_length
            need = self.shape.blocks_for(known)
            kept_free = self.running.size + len(admitted)
            if need + kept_free > self.allocator.free:
                break
            self.waiting.popleft()
            row = self.rows.enter(request)
            self._grow(np.array([row]), np.array([need]))
            chunk = min(known, budget)
            budget -= chunk
            chunks.append(chunk)
            admitted.append(row)
        if admitted:
            admitted_rows = np.array(admitted, np.int64)
            self.running = np.concatenate((self.running, admitted_rows))
        return np.array(chunks, np.int64)

    def update(self, batch: Batch, tokens: Int32, now: int) -> Emitted:
        """Take in the tokens of a step, retire the step, and end the requests that have ended.

        `tokens` are (s,) in the order of `batch.sampled`; `now` is in ns on the run's clock.
        """
        state = self.rows
        self._retire(batch.step)
        rows = batch.rows[batch.sampled]
        live = state.life[rows] == batch.life
        if not live.all():  # a token for a request that has left its row is dropped
            rows, tokens = rows[live], tokens[live]

        position = state.known[rows]
        known = position + 1
        state.tokens[rows, position] = tokens
        state.known[rows] = known

        stopped = (tokens[:, None] == state.stop_ids[rows]).any(axis=1)
        finished = stopped | (known == state.limit[rows])
        first = position == state.prompt[rows]
        emitted = Emitted(batch.step, state.request_id[rows], tokens, first, finished)
        for row in rows[first]:
            request = state.request[row]
            assert request is not None
            request.first_token_ns = now
        if finished.any():
            for index in np.flatnonzero(finished):
                finish = Finish.STOP if stopped[index] else Finish.LENGTH
                ended_request = self._release(int(rows[index]))
                self._end(ended_request, finish, now)
            self._drop_inactive()
        return emitted

    def abandon(self) -> None:
        """Drop everything after a failure: no step is in flight any more, every block goes back."""
        for step in sorted(self._returning):
            self._retire(step)
        self._retired_step = np.iinfo(np.int64).max
        for row in self.running:
            self._release(int(row))
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
