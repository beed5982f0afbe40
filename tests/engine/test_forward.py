"""The network and a step of it: logits as transformers', sampling as it says, padding to a bucket changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from idlescope.engine.network.attention import PagedAttention, Plan
from idlescope.engine.network.checkpoint import load
from idlescope.engine.network.decoder import Decoder
from idlescope.engine.network.network import Network
from idlescope.engine.network.sampling import Sampling, sample, uniform
from idlescope.engine.running_rows import Shape
from idlescope.engine.slots import Slot
from idlescope.models.presets import model
from tests.make import checkpoints

BLOCK, BLOCKS = 4, 200
FAMILIES = {
    "llama": {},
    "llama tied": {"family": "llama", "tied": True},
    "llama 3.1": {"family": "llama", "rope_parameters": checkpoints.LLAMA3_ROPE},
    "qwen3": {"family": "qwen3"},
    "one key-value head": {"family": "llama", "num_key_value_heads": 1},
    "no groups": {"family": "qwen3", "num_key_value_heads": 4},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_those_of_transformers(tmp_path, family):
    """Whole prompts, chunks behind chunks, decodes, and all of them in one ragged batch, over scattered blocks."""
    folder = checkpoints.write(tmp_path, initializer_range=0.1, **FAMILIES[family])
    architecture = model(str(folder))
    decoder = Decoder(
        architecture, load(folder, architecture, torch.float32), Shape(3, 500, 500, BLOCKS, BLOCK)
    )
    rng = np.random.default_rng(1)
    ids = torch.from_numpy(rng.integers(0, 512, (3, 260)))
    table = torch.from_numpy(rng.permutation(BLOCKS)[: 3 * 66].reshape(3, 66).astype(np.int32))
    with torch.inference_mode():
        expected = checkpoints.network(folder)(ids).logits
        for batch in (
            [(0, 0, 200), (2, 0, 50)],
            [(2, 50, 51), (0, 200, 250), (1, 0, 100)],
            [(0, 250, 251), (1, 100, 101), (2, 51, 90)],
            [(2, 90, 140), (0, 251, 252)],
            [(0, 252, 253), (1, 101, 102), (2, 140, 141)],
        ):
            rows = [row for row, _, _ in batch]
            queries, contexts = (
                [end - start for _, start, end in batch],
                [end for _, _, end in batch],
            )
            position = torch.cat([torch.arange(start, end) for _, start, end in batch])
            row = torch.repeat_interleave(torch.tensor(rows), torch.tensor(queries))
            attend = PagedAttention(
                Plan(tuple(queries), tuple(contexts), len(rows)), table[rows], torch.tensor(contexts),
                torch.tensor(queries).cumsum(0), BLOCK,
            )  # fmt: skip
            place = table[row, position // BLOCK] * BLOCK + position % BLOCK
            logits = decoder.logits(decoder(ids[row, position], position, place, attend))
            assert (logits - expected[row, position]).abs().max() < 1e-4


class TestPadding:
    def test_a_step_padded_to_a_bucket_says_the_same(self):
        """As graphs need it: rows behind the last hold what is left over, and must not disturb the others."""
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
            slot.rows[:5], slot.request[:5], slot.query_end[:5] = range(5), range(5), range(1, 6)
            slot.context[:5] = 1
            slot.tokens[:5] = [[0, 0, 4 - i, slot.table[i, 0] * 4] for i in range(5)]
            before = [cache.clone() for cache in forward.decoder.keys]
            count = 8 if padded else 5
            forward(0, Plan((1,) * count, (1,) * count, count, padded))
            outputs.append(forward.outputs[0][:6].tolist())
            for cache, old in zip(forward.decoder.keys, before, strict=True):
                changed = torch.nonzero((cache != old).flatten(2).any(-1)).tolist()
                assert {tuple(where) for where in changed} <= {(i * 8, 0) for i in range(5)} | {
                    (shape.blocks, 0)
                }
        assert outputs[0] == outputs[1]
        assert outputs[0][0] == 0


class TestSampling:
    logits = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.07, 0.03]))

    def frequencies(self, count=20_000, **how):
        tokens = sample(
            self.logits.repeat(count, 1), torch.arange(count, dtype=torch.int32), torch.zeros(count, dtype=torch.int32),
            Sampling(**how),
        )  # fmt: skip
        return torch.bincount(tokens, minlength=5) / count

    @pytest.mark.parametrize(
        ("how", "expected"),
        [
            ({"temperature": 1.0}, [0.4, 0.3, 0.2, 0.07, 0.03]),
            ({"temperature": 1.0, "top_k": 2}, [4 / 7, 3 / 7, 0, 0, 0]),
            ({"temperature": 1.0, "top_p": 0.7}, [4 / 7, 3 / 7, 0, 0, 0]),
            ({"temperature": 1.0, "top_p": 0.71}, [4 / 9, 3 / 9, 2 / 9, 0, 0]),
            ({"temperature": 0.5}, [v / 0.2958 for v in (0.16, 0.09, 0.04, 0.0049, 0.0009)]),
            ({"temperature": 1.0, "top_k": 3, "top_p": 0.7}, [4 / 7, 3 / 7, 0, 0, 0]),
        ],
    )
    def test_tokens_are_drawn_as_often_as_they_are_likely(self, how, expected):
        assert torch.allclose(self.frequencies(**how), torch.tensor(expected), atol=0.012)

    def test_greedy_takes_the_likeliest(self):
        assert self.frequencies(100).tolist() == [1, 0, 0, 0, 0]

    def test_uniform_numbers_are_uniform_and_differ_by_seed_request_and_position(self):
        request, position = (
            t.flatten().int()
            for t in torch.meshgrid(torch.arange(200), torch.arange(200), indexing="ij")
        )
        drawn = [uniform(seed, request, position) for seed in (0, 1, 2**40)]
        assert len(torch.unique(torch.cat(drawn))) == 3 * 40_000
        for values in drawn:
            assert values.min() >= 0
            assert values.max() < 1
            counts = torch.histc(values, 50, 0, 1)
            assert (
                (counts - 800) ** 2 / 800
            ).sum() < 100  # chi square, 49 degrees of freedom: p = 2e-5
        square = drawn[0].view(200, 200)
        for a, b in (
            (square[1:], square[:-1]),
            (square[:, 1:], square[:, :-1]),
            (drawn[0], drawn[1]),
        ):
            assert abs(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1]) < 0.02
