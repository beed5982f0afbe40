"""The state of running requests, one row each, as arrays over rows: what makes a step's host work vectorised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope.engine.requests import Request
from idlescope.trace.table import Int32


@dataclass(frozen=True)
class Shape:
    """The sizes that a run's arrays and buffers are made for."""

    rows: int  # requests that can run at once: the batch size
    tokens: int  # query tokens of one step at the most
    length: int  # prompt and output tokens of one request at the most
    blocks: int  # KV blocks in all
    block_size: int  # tokens a KV block

    @property
    def table_width(self) -> int:
        """Return the KV blocks of the longest request."""
        return -(-self.length // self.block_size)


class Rows:
    """Arrays over rows. Within a row `computed <= length`, `known <= length` and `length <= limit` always hold."""

    def __init__(self, shape: Shape, stop_width: int) -> None:
        n = shape.rows
        self.tokens = np.zeros((n, shape.length), np.int32)  # prompt and output
        self.known = np.zeros(n, np.int64)  # tokens that the host knows
        self.length = np.zeros(
            n, np.int64
        )  # known tokens, and those that a step in flight will yield
        self.computed = np.zeros(
            n, np.int64
        )  # tokens whose keys and values are cached, or will be by a step in flight
        self.limit = np.zeros(n, np.int64)  # length at which the request ends
        self.prompt = np.zeros(n, np.int64)  # prompt tokens
        self.id = np.zeros(n, np.int32)  # of the request: also seeds its random numbers
        self.stops = np.full((n, stop_width), -1, np.int32)
        self.blocks = np.zeros(n, np.int64)  # KV blocks held
        self.table = np.zeros((n, shape.table_width), np.int32)  # their ids
        self.version = np.zeros(n, np.int64)  # counts changes of the table's row
        self.life = np.zeros(
            n, np.int64
        )  # counts requests that left the row: a stale result is of an earlier life
        self.last_step = np.full(n, -1, np.int64)  # last step that the row took part in
        self.output_index = np.zeros(
            n, np.int32
        )  # where the last step's output holds the row's token
        self.active = np.zeros(n, np.bool_)
        self.request: list[Request | None] = [None] * n
        self.free = list(range(n - 1, -1, -1))

    def enter(self, request: Request) -> int:
        """Give a request a free row, with all tokens that are known of it, and return the row."""
        row = self.free.pop()
        known = len(request.prompt) + len(request.output)
        self.tokens[row, : len(request.prompt)] = request.prompt
        self.tokens[row, len(request.prompt) : known] = request.output
        self.known[row] = self.length[row] = known
        self.computed[row] = self.blocks[row] = 0
        self.limit[row], self.prompt[row], self.id[row] = (
            request.limit,
            len(request.prompt),
            request.id,
        )
        self.stops[row] = -1
        self.stops[row, : len(request.stop_ids)] = request.stop_ids
        self.last_step[row] = -1
        self.active[row] = True
        self.request[row] = request
        return row

    def leave(self, row: int) -> tuple[Request, Int32]:
        """Take a request out of its row; return it, its output brought up to date, and the KV blocks it held."""
        request = self.request[row]
        assert request is not None
        request.output = self.tokens[row, self.prompt[row] : self.known[row]].tolist()
        blocks = self.table[row, : self.blocks[row]].copy()
        self.active[row] = False
        self.life[row] += 1
        self.blocks[row] = 0
        self.request[row] = None
        self.free.append(row)
        return request, blocks
