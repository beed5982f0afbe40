"""The network's logits are those of transformers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from idlescope.engine.network.attention import PagedAttention, Plan
from idlescope.engine.network.checkpoint import load
from idlescope.engine.network.decoder import Decoder
from idlescope.engine.running_rows import Shape
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
    """Whole prompts, chunks behind chunks, decodes, and all in one batch, over scattered blocks."""
    folder = checkpoints.write(tmp_path, initializer_range=0.1, **FAMILIES[family])
    architecture = model(str(folder))
    decoder = Decoder(
        architecture,
        load(folder, architecture, torch.float32),
        Shape(3, 500, 500, BLOCKS, BLOCK),
    )
    rng = np.random.default_rng(1)
    ids = torch.from_numpy(rng.integers(0, 512, (3, 260)))
    table = torch.from_numpy(
        rng.permutation(BLOCKS)[: 3 * 66].reshape(3, 66).astype(np.int32)
    )
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
                Plan(tuple(queries), tuple(contexts), len(rows)),
                table[rows],
                torch.tensor(contexts),
                torch.tensor(queries).cumsum(0),
                BLOCK,
            )
            place = table[row, position // BLOCK] * BLOCK + position % BLOCK
            logits = decoder.logits(decoder(ids[row, position], position, place, attend))
            assert (logits - expected[row, position]).abs().max() < 1e-4
