"""The paged KV cache's block allocator: who owns which block of the device's key-value memory."""

from __future__ import annotations

import numpy as np

from idlescope.trace.table import Int32


class BlockAllocator:
    """Hands out block ids 0 … blocks-1 from a stack, and takes each back exactly once."""

    def __init__(self, blocks: int) -> None:
        # the stack's first `free` entries are the free blocks; its top is the next to go
        self._stack = np.arange(blocks - 1, -1, -1, dtype=np.int32)
        self._owned = np.zeros(blocks, np.bool_)
        self.free = blocks

    @property
    def blocks(self) -> int:
        """Return how many blocks there are in all."""
        return self._stack.size

    def take(self, count: int) -> Int32:
        """Return the ids of `count` free blocks. Raises ValueError where there are fewer."""
        if count > self.free:
            raise ValueError(f"{count} KV blocks wanted, {self.free} free")
        self.free -= count
        block_ids = self._stack[self.free : self.free + count].copy()
        self._owned[block_ids] = True
        return block_ids

    def give_back(self, block_ids: Int32) -> None:
        """Free blocks. Raises ValueError for one that is not owned, which is a bug."""
        block_count = block_ids.size
        if not self._owned[block_ids].all() or np.unique(block_ids).size != block_count:
            raise ValueError(f"KV blocks freed twice: {block_ids.tolist()}")
        self._owned[block_ids] = False
        self._stack[self.free : self.free + block_count] = block_ids
        self.free += block_count

    def owned(self, block_ids: Int32) -> bool:
        """Return whether all of these blocks are handed out."""
        return bool(self._owned[block_ids].all())
