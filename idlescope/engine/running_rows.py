"""The state of running requests as arrays, one row per request: host work of a step is array code.

A request enters a free row when it is admitted, and leaves it when it ends or is preempted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope.engine.requests import Request
from idlescope.trace.table import Int32, Int64


@dataclass(frozen=True)
class Shape:
    """The sizes that a run's arrays and buffers are made for."""

    rows: int  # requests that can run at once: the batch size
    tokens: int  # query tokens of one step at the most
    length: int  # prompt and output tokens of one request at the most
    blocks: int  # KV blocks in all
    block_size: int  # tokens per KV block

    @property
    def table_width(self) -> int:
        """Return the KV blocks of the longest request."""
        return self.blocks_for(self.length)

    def blocks_for(self, tokens: int) -> int:
        """Return the KV blocks that so many tokens of one request fill."""
        return -(-tokens // self.block_size)


def zeros(count: int) -> Int64:
    """Return a column of zeros."""
    return np.zeros(count, np.int64)


class Rows:
    """Arrays over the rows of a run, R of them; a free row holds what its last request left.

    Within a row `computed <= length`, `known <= length` and `length <= limit` always hold. Tokens
    of an output count in `length` from the moment that a step which will yield them is formed, and
    in `known` once the host has retrieved them.
    """

    def __init__(self, shape: Shape, stop_width: int) -> None:
        row_count = shape.rows

        # Lengths, in tokens of prompt and output together
        self.tokens = np.zeros((row_count, shape.length), np.int32)  # their ids
        self.known = zeros(row_count)  # that the host knows
        self.length = zeros(row_count)  # known, or being made by a step in flight
        self.computed = zeros(row_count)  # with keys and values cached, or in flight
        self.limit = zeros(row_count)  # at which the request ends
        self.prompt = zeros(row_count)  # of the prompt alone

        # Who has the row
        self.request: list[Request | None] = [None] * row_count
        self.request_id = np.zeros(
            row_count, np.int32
        )  # also seeds the request's random numbers
        self.stop_ids = np.full((row_count, stop_width), -1, np.int32)
        self.active = np.zeros(row_count, np.bool_)
        self.life = zeros(row_count)  # counts the requests that have left the row
        self.free = list(range(row_count - 1, -1, -1))

        # KV blocks held: how many, and their ids
        self.blocks = zeros(row_count)
        self.table = np.zeros((row_count, shape.table_width), np.int32)
        self.table_version = zeros(row_count)  # counts changes of the table's row

        # The last step that the row took part in, and the index of its token in that step's output
        self.last_step = zeros(row_count) - 1
        self.output_index = np.zeros(row_count, np.int32)

    def enter(self, request: Request) -> int:
        """Give a request a free row, with all tokens that are known of it, and return the row."""
        free_row = self.free.pop()
        prompt_length = len(request.prompt)
        known_tokens = request.known_length
        self.tokens[free_row, :prompt_length] = request.prompt
        self.tokens[free_row, prompt_length:known_tokens] = request.output
        self.known[free_row] = known_tokens
        self.length[free_row] = known_tokens
        self.computed[free_row] = 0
        self.blocks[free_row] = 0
        self.limit[free_row] = request.limit
        self.prompt[free_row] = prompt_length
        self.request_id[free_row] = request.id
        stop_count = len(request.stop_ids)
        self.stop_ids[free_row] = -1
        self.stop_ids[free_row, :stop_count] = request.stop_ids
        self.last_step[free_row] = -1
        self.active[free_row] = True
        self.request[free_row] = request
        return free_row

    def leave(self, row: int) -> tuple[Request, Int32]:
        """Take a request out of its row.

        Returns the request, its output brought up to date, and the ids of the KV blocks it held.
        """
        request = self.request[row]
        assert request is not None
        output_start, output_end = self.prompt[row], self.known[row]
        request.output = self.tokens[row, output_start:output_end].tolist()
        block_count = self.blocks[row]
        block_ids = self.table[row, :block_count].copy()
        self.active[row] = False
        self.life[row] += 1
        self.blocks[row] = 0
        self.request[row] = None
        self.free.append(row)
        return request, block_ids
