"""The paged KV cache's block allocator."""

from __future__ import annotations

import numpy as np
import pytest

from idlescope.engine.kv_cache import BlockAllocator


def test_blocks_come_and_go_once():
    allocator = BlockAllocator(4)
    ids = allocator.take(3)
    assert sorted(ids.tolist()) == [0, 1, 2]
    assert (allocator.free, allocator.owned(ids)) == (1, True)
    allocator.give_back(ids[:1])
    with pytest.raises(ValueError, match="freed twice"):
        allocator.give_back(ids[:1])
    with pytest.raises(ValueError, match="freed twice"):
        allocator.give_back(np.array([ids[1], ids[1]]))
    with pytest.raises(ValueError, match="3 KV blocks wanted, 2 free"):
        allocator.take(3)
