"""transformers' networks have the weights and the architecture of ours."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.17")
from idlescope import RunConfig, run
from idlescope.capture.transformers.network import configured, load
from idlescope.engine.network.checkpoint import shapes
from idlescope.errors import ConfigError
from idlescope.models.presets import MODELS, model
from tests.make import checkpoints

THEIRS = {"engine": "transformers", "device": "cpu", "mode": "sync", "warmup": 0}


OURS = {**THEIRS, "engine": "idlescope"}


def outputs(result):
    return {r.id: r.output for r in result.modes["sync"].finished}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(checkpoints.write(tmp_path_factory.mktemp("llama"), initializer_range=0.1))


def test_a_named_model_has_the_weights_that_ours_has():
    work = {"model": "tiny", "tokens": 6, "prompt_tokens": 30, "batch_size": 3}
    assert outputs(run(RunConfig(**THEIRS, **work))) == outputs(
        run(RunConfig(**OURS, **work))
    )


@pytest.mark.parametrize("key", MODELS)
def test_a_named_model_is_the_same_architecture(key):
    with torch.device("meta"):
        made = transformers.AutoModelForCausalLM.from_config(configured(MODELS[key]))
    assert {
        name: tuple(weight.shape) for name, weight in made.named_parameters()
    } == shapes(MODELS[key])
    assert made.config.tie_word_embeddings == MODELS[key].tied


def test_tied_random_weights_stay_tied():
    network = load(replace(MODELS["tiny"], tied=True, qk_norm=True), "float32", "cpu", 0)
    assert network.lm_head.weight is network.model.embed_tokens.weight
    assert {w.device.type for w in (*network.parameters(), *network.buffers())} == {"cpu"}


@pytest.mark.parametrize("weights", [None, b"", b"\x08" + bytes(7) + b"not json"])
def test_a_checkpoint_without_its_weights_is_one_sentence(checkpoint, tmp_path, weights):
    shutil.copy(Path(checkpoint) / "config.json", tmp_path)
    if weights is not None:
        (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(ConfigError, match="transformers cannot load"):
        load(model(str(tmp_path)), "float32", "cpu", 0)
