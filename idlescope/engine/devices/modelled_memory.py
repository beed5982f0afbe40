"""The memory of a modelled GPU: it makes the tokens depend on everything that a step reads.

Tokens come from a hash of the whole context, read through the slot's block table, carry-over
indices and a key-value memory that steps really write: a wrong carry-over, a block freed too early
or an input buffer reused too soon changes the tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idlescope.engine.running_rows import Shape
from idlescope.engine.slots import Slot
from idlescope.trace.table import Int32, Int64

UInt64 = NDArray[np.uint64]
ONE = np.uint64(1)


class Chunks(NamedTuple):
    """The query tokens of a step, t of them, in one chunk per row, b of them."""

    tokens: UInt64  # (t,) what is hashed of each: its id plus 1
    first: Int64  # (b,) index of each chunk's first token
    counts: Int64  # (b,) tokens of each chunk
    states: UInt64  # (b,) hash of the context before each chunk


class Memory:
    """Output tokens, and a hash of the context where keys and values would be.

    The state of a context is h(t) = h(t-1) * A + token(t) + 1 modulo 2**64, from h(-1) = the
    request's own start. It is stored at each token's place in the paged cache, so that a step reads
    it through the block table it was given.
    """

    A = 6364136223846793005  # Knuth's MMIX multiplier: odd, so that it has an inverse modulo 2**64

    def __init__(self, shape: Shape, vocab: int, seed: int) -> None:
        self._block_size = shape.block_size
        self._vocab = np.uint64(vocab)
        self._start = np.uint64(np.random.default_rng(seed).integers(0, 2**63))
        self._states: UInt64 = np.zeros(shape.blocks * shape.block_size, np.uint64)
        # the last element stays 0: carry-over index -1 reads it
        self._output: Int32 = np.zeros(shape.rows + 1, np.int32)
        self._power = powers(self.A, shape.tokens)
        self._inverse_power = powers(pow(self.A, -1, 2**64), shape.tokens)

    def run(self, slot: Slot) -> None:
        """Read the slot's inputs, write the cache, sample, and copy the tokens to its output."""
        row_count, token_count, sampled_count, _step = slot.header.tolist()
        carry_over = slot.carry_over[:token_count]
        token_ids = slot.token_ids[:token_count] + self._output[carry_over]
        tokens = token_ids.astype(np.uint64) + ONE

        query_end = slot.query_end[:row_count].astype(np.int64)
        first_token = np.concatenate(([0], query_end[:-1]))
        states_before = self._states_before(slot, first_token)
        if token_count == row_count:  # one token per row, as in all of decode
            states = states_before * self._power[1] + tokens
        else:
            token_counts = query_end - first_token
            chunks = Chunks(tokens, first_token, token_counts, states_before)
            states = self._through_chunks(chunks)
        cache_places = slot.cache_places[:token_count]
        self._states[cache_places] = states

        sample_at = slot.sample_at[:sampled_count]
        hashes = mix(states[sample_at])
        sampled = (hashes % self._vocab).astype(np.int32)
        self._output[:sampled_count] = sampled
        slot.output[:sampled_count] = sampled

    def _states_before(self, slot: Slot, first_token: Int64) -> UInt64:
        """Return the state before each row's first query token, read through the block table."""
        row_count = first_token.size
        position = slot.positions[first_token] - 1
        block_index, offset = position // self._block_size, position % self._block_size
        rows = slot.rows[:row_count]
        cache_place = slot.table[rows, block_index] * self._block_size + offset
        cached = self._states[cache_place]

        request_ids = slot.request[:row_count].astype(np.uint64)
        at_start = mix(self._start + request_ids)
        return np.where(position >= 0, cached, at_start)

    def _through_chunks(self, chunks: Chunks) -> UInt64:
        """Return the state after each token, (t,).

        With tokens x(i) of one chunk, i from 0: h(i) = h(-1) * A**(i+1) + sum of x(j) * A**(i-j)
        over j <= i. The sum is A**k times the running sum of x * A**-k, k counting over all chunks,
        less what the chunks before have added to it.
        """
        token_count = chunks.tokens.size
        token_index = np.arange(token_count)
        chunk_row = np.repeat(np.arange(chunks.first.size), chunks.counts)

        inverse_powers = self._inverse_power[:token_count]
        running_sum = np.cumsum(chunks.tokens * inverse_powers)
        sum_before = running_sum[chunks.first - 1]
        of_earlier_chunks = np.where(chunks.first > 0, sum_before, np.uint64(0))
        within_chunk_sum = running_sum - of_earlier_chunks[chunk_row]

        position_in_chunk = token_index - chunks.first[chunk_row]
        from_before = chunks.states[chunk_row] * self._power[position_in_chunk + 1]
        return self._power[token_index] * within_chunk_sum + from_before


def powers(base: int, count: int) -> UInt64:
    """Return base**0 … base**count modulo 2**64."""
    factors = np.full(count + 1, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def mix(values: UInt64) -> UInt64:
    """Return well-spread hashes: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
