"""The continuous-batching scheduler: who is in the next batch, with how many tokens, on which KV blocks.

Every step it advances the running requests in order of admission (one token each in decode, a chunk in prefill), then
admits waiting ones while rows, tokens and KV blocks last. When blocks run out, the request admitted last is preempted:
its blocks go back and it starts again from its known tokens.

Several steps may be in flight. A request that leaves its row while a step in flight still writes its KV blocks gives
them back only when that step is retired, and a token that arrives for a row's earlier life is dropped.
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
    """Tokens that a step yielded, one a request: what a detokeniser and a response stream take."""

    step: int
    requests: Int32  # ids
    tokens: Int32
    first: Bool  # the request's first token
    finished: Bool  # its last


class Scheduler:
    """Holds the queue, the running rows and the block allocator."""

    def __init__(self, shape: Shape, stop_width: int = 0) -> None:
        if shape.tokens < shape.rows:
            raise ConfigError(
                f"max-batch-tokens {shape.tokens} is less than the batch size {shape.rows}: each needs one"
            )
        self.shape = shape
        self.rows = Rows(shape, stop_width)
        self.allocator = BlockAllocator(shape.blocks)
        self.waiting: deque[Request] = deque()
        self.finished: list[Request] = []
        self.running: Int64 = np.empty(0, np.int64)  # rows in order of admission
        self._retired = -1
        self._returning: dict[
            int, list[Int32]
        ] = {}  # step in flight -> blocks to free when it is retired

    def check(self, request: Request) -> None:
        """Raise ConfigError where a request could never run."""
        blocks = -(-request.limit // self.shape.block_size)
        if blocks > self.shape.blocks:
            raise ConfigError(
                f"request {request.id} needs {blocks} KV blocks for {request.limit} tokens and there are only "
                f"{self.shape.blocks}: ask for fewer tokens or give more --kv-blocks"
            )
        if request.limit > self.shape.length:
            raise ConfigError(
                f"request {request.id} needs {request.limit} tokens, rows hold {self.shape.length}"
            )

    def add(self, request: Request) -> None:
        """Queue a request that has arrived."""
        self.waiting.append(request)

    def cancel(self, request: Request, now: int) -> None:
        """End a request where it stands: queued, running or in flight. One that has ended stays as it is."""
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
        r, running, size = self.rows, self.running, self.shape.block_size
        length, start = r.length[running], r.computed[running]
        count = (length - start) * (length < r.limit[running])
        wanted, budget = int(count.sum()), self.shape.tokens
        if wanted > budget:
            count = np.clip(budget - (np.cumsum(count) - count), 0, count)
            wanted = budget
        preempted = False
        growing = np.flatnonzero(start + count > r.blocks[running] * size)
        if growing.size:
            need = np.zeros(running.size, np.int64)
            need[growing] = -(-(start + count)[growing] // size) - r.blocks[running[growing]]
            if int(need.sum()) <= self.allocator.free:
                self._grow(running[growing], need[growing])
            else:
                count, preempted = self._make_room(count, need)
                wanted = int(count.sum())
        if self.waiting and not preempted:
            chunks = self._admit(budget - wanted)
            count = np.concatenate((count, chunks))
            wanted += int(chunks.sum())
        return self._form(step, self.running, count, wanted) if wanted else None

    def _form(self, step: int, rows: Int64, count: Int64, tokens: int) -> Batch:
        """Make the batch of the rows with a count, and move their state on as if its tokens were there."""
        r = self.rows
        taking_part = count > 0
        if not taking_part.all():
            rows, count = rows[taking_part], count[taking_part]
        start = r.computed[rows]
        end = start + count
        r.computed[rows] = end
        sampled = np.flatnonzero(end == r.length[rows])
        yielding = rows[sampled]
        r.length[yielding] += 1
        r.last_step[rows] = step
        context = pairs = int(end.sum())
        if tokens > rows.size:  # query i of a chunk sees the tokens before it and itself
            pairs = int((count * start + count * (count + 1) // 2).sum())
        return Batch(step, rows, count, start, sampled, r.life[yielding], tokens, context, pairs)

    def _grow(self, rows: Int64, need: Int64) -> None:
        """Append `need` fresh blocks to each row's table."""
        r = self.rows
        ids = self.allocator.take(int(need.sum()))
        which = np.repeat(np.arange(rows.size), need)
        column = (
            r.blocks[rows][which] + np.arange(which.size) - np.repeat(np.cumsum(need) - need, need)
        )
        r.table[rows[which], column] = ids
        r.blocks[rows] += need
        r.version[rows] += 1

    def _make_room(self, count: Int64, need: Int64) -> tuple[Int64, bool]:
        """Give rows their blocks in order of admission, preempting from the end; return the counts that are left."""
        running, free = self.running, self.allocator
        coming_back = sum(ids.size for parts in self._returning.values() for ids in parts)
        i, end = 0, running.size
        while i < end:
            while need[i] > free.free and i < end:
                if (
                    need[i] <= free.free + coming_back
                ):  # a step in flight will free enough: sit this one out
                    count[i] = need[i] = 0
                    break
                end -= 1
                coming_back += self._preempt(int(running[end]))
            if i < end and need[i] > 0:
                self._grow(running[i : i + 1], need[i : i + 1])
            i += 1
        self.running = running[:end]
        return count[:end], end < running.size

    def _preempt(self, row: int) -> int:
        """Send a running request back to the head of the queue; return how many of its blocks are still in use."""
        request = self.rows.request[row]
        assert request is not None
        free, blocks = self.allocator.free, int(self.rows.blocks[row])
        self._release(row)
        request.preemptions += 1
        self.waiting.appendleft(request)
        return blocks - (self.allocator.free - free)

    def _admit(self, budget: int) -> Int64:
        """Give waiting requests rows and the blocks of all their known tokens; return the first chunk of each.

        Every running request keeps a free block to grow into, so that an admission does not preempt at once.
        """
        r = self.rows
        chunks: list[int] = []
        admitted: list[int] = []
        while self.waiting and budget > 0 and r.free:
            request = self.waiting[0]
            known = len(request.prompt) + len(request.output)
            need = -(-known // self.shape.block_size)
            if need + self.running.size + len(admitted) > self.allocator.free:
                break
            self.waiting.popleft()
            row = r.enter(request)
            self._grow(np.array([row]), np.array([need]))
            chunks.append(min(known, budget))
            budget -= chunks[-1]
            admitted.append(row)
        if admitted:
            self.running = np.concatenate((self.running, np.array(admitted, np.int64)))
        return np.array(chunks, np.int64)

    def update(self, batch: Batch, tokens: Int32, now: int) -> Emitted:
        """Take in the tokens of a step, (s,) in the order of `batch.sampled`; retire the step; end what has ended."""
        r = self.rows
        self._retire(batch.step)
        rows = batch.rows[batch.sampled]
        live = r.life[rows] == batch.life
        if not live.all():
            rows, tokens = rows[live], tokens[live]
        at = r.known[rows]
        after = at + 1
        r.tokens[rows, at] = tokens
        r.known[rows] = after
        stopped = (tokens[:, None] == r.stops[rows]).any(axis=1)
        finished = stopped | (after == r.limit[rows])
        requests = r.id[rows]
        first = at == r.prompt[rows]
        for i in np.flatnonzero(first):
            request = r.request[rows[i]]
            assert request is not None
            request.first_token_ns = now
        if finished.any():
            for i in np.flatnonzero(finished):
                self._end(
                    self._release(int(rows[i])), Finish.STOP if stopped[i] else Finish.LENGTH, now
                )
            self._drop_inactive()
        return Emitted(batch.step, requests, tokens, first, finished)

    def abandon(self) -> None:
        """Drop everything after a failure: no step is in flight any more, every block goes back."""
        for step in sorted(self._returning):
            self._retire(step)
        self._retired = np.iinfo(np.int64).max
        for row in self.running:
            self._release(int(row))
        self._drop_inactive()
        self.waiting.clear()

    def _end(self, request: Request, finish: Finish, now: int) -> None:
        request.finish, request.finished_ns = finish, now
        self.finished.append(request)

    def _release(self, row: int) -> Request:
        """Empty a row; its blocks are free at once, or when the step in flight that writes them is retired."""
        last = int(self.rows.last_step[row])
        request, blocks = self.rows.leave(row)
        if last > self._retired:
            self._returning.setdefault(last, []).append(blocks)
        else:
            self.allocator.give_back(blocks)
        return request

    def _retire(self, step: int) -> None:
        self._retired = step
        for blocks in self._returning.pop(step, ()):
            self.allocator.give_back(blocks)

    def _drop_inactive(self) -> None:
        self.running = self.running[self.rows.active[self.running]]
