"""Padding a step to a bucket changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from idlescope.engine.network.attention import Plan
from idlescope.engine.network.network import Network
from idlescope.engine.running_rows import Shape
from idlescope.engine.slots import Slot
from idlescope.models.presets import model


class TestPadding:
    def test_a_step_padded_to_a_bucket_says_the_same(self):
        """As graphs need it: rows behind the last hold what is left over, and disturb no others."""
        shape = Shape(8, 64, 32, 40, 4)
        outputs = []
        for padded in (False, True):
            forward = Network(model("tiny"), "float32", temperature=1.0).load(shape, 2)
            slot = Slot(shape, forward.inputs[0].numpy())
            rng = np.random.default_rng(0)
            slot.buffer[:] = rng.integers(0, 30, slot.buffer.size)  # left over
            slot.table[:] = np.arange(8 * 8).reshape(8, 8) % shape.blocks
            forward.outputs[1][1:] = torch.arange(8)
            slot.header[:] = 5, 5, 5, 0
            slot.rows[:5], slot.request[:5], slot.query_end[:5] = (
                range(5),
                range(5),
                range(1, 6),
            )
            slot.context[:5] = 1
            slot.tokens[:5] = [[0, 0, 4 - i, slot.table[i, 0] * 4] for i in range(5)]
            before = [cache.clone() for cache in forward.decoder.keys]
            count = 8 if padded else 5
            forward(0, Plan((1,) * count, (1,) * count, count, padded))
            outputs.append(forward.outputs[0][:6].tolist())
            for cache, old in zip(forward.decoder.keys, before, strict=True):
                changed = torch.nonzero((cache != old).flatten(2).any(-1)).tolist()
                assert {tuple(where) for where in changed} <= {
                    (i * 8, 0) for i in range(5)
                } | {(shape.blocks, 0)}
        assert outputs[0] == outputs[1]
        assert outputs[0][0] == 0
