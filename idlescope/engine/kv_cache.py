"""The paged KV cache's block allocator: who owns which block of the device's key-value memory."""

from __future__ import annotations

import numpy as np

from idlescope.trace.table import Int32


class BlockAllocator:
    """Hands out block ids 0 … blocks-1 from a stack, and takes each back exactly once."""

    def __init__(self, blocks: int) -> None:
        self._stack = np.arange(blocks - 1, -1, -1, dtype=np.int32)
        self._owned = np.zeros(blocks, np.bool_)
        self.free = blocks

    @property
    def blocks(self) -> int:
        """Return how many blocks there are in all."""
        return self._stack.size

    def take(self, count: int) -> Int32:
        """Return the ids of `count` free blocks; there must be that many."""
        if count > self.free:
            raise ValueError(f"{count} KV blocks wanted, {self.free} free")
        self.free -= count
        ids = self._stack[self.free : self.free + count].copy()
        self._owned[ids] = True
        return ids

    def give_back(self, ids: Int32) -> None:
        """Free blocks; freeing one that is not owned is a bug and raises."""
        if not self._owned[ids].all() or np.unique(ids).size != ids.size:
            raise ValueError(f"KV blocks freed twice: {ids.tolist()}")
        self._owned[ids] = False
        self._stack[self.free : self.free + ids.size] = ids
        self.free += ids.size

    def owned(self, ids: Int32) -> bool:
        """Return whether all of these blocks are handed out."""
        return bool(self._owned[ids].all())
