"""Weights are read as transformers saved them; what is wrong with a checkpoint is said."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import load_file, save_file

from idlescope.engine.network import checkpoint
from idlescope.engine.network.checkpoint import load, random_weights, shapes
from idlescope.errors import ConfigError
from idlescope.models.presets import MODELS, model
from tests.make.checkpoints import network, write


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    return write(tmp_path_factory.mktemp("sharded"), "qwen3", seed=3, shard="100KB")


@pytest.fixture
def single(tmp_path):
    return write(tmp_path / "single")


def rewrite(folder, **changes):
    """Change weights of a checkpoint in one file: None leaves a weight out."""
    file = folder / "model.safetensors"
    weights = {**{name: w.clone() for name, w in load_file(file).items()}, **changes}
    save_file(
        {name: weight for name, weight in weights.items() if weight is not None}, file
    )


def read(folder, dtype=torch.float32):
    return load(folder, model(str(folder)), dtype)


class TestShapes:
    @pytest.mark.parametrize("key", MODELS)
    def test_they_add_up_to_the_parameters_of_the_model(self, key):
        m = model(key)
        sizes = {name: torch.Size(shape).numel() for name, shape in shapes(m).items()}
        assert (
            sum(n for name, n in sizes.items() if not name.endswith("norm.weight"))
            == m.params
        )
        assert ("lm_head.weight" in sizes) is not m.tied


class TestLoad:
    @pytest.mark.parametrize("shard", ["5GB", "100KB"])
    @pytest.mark.parametrize("tied", [False, True])
    @pytest.mark.parametrize("family", ["llama", "qwen3"])
    def test_weights_are_those_of_transformers(self, tmp_path, family, tied, shard):
        folder = write(tmp_path, family, seed=1, tied=tied, shard=shard)
        assert (folder / "model.safetensors.index.json").exists() == (shard == "100KB")
        theirs, ours = dict(network(folder).named_parameters()), read(folder)
        assert ours.keys() == theirs.keys() == shapes(model(str(folder))).keys()
        assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())
        assert {weight.device.type for weight in ours.values()} == {"cpu"}

    def test_they_come_in_the_dtype_that_is_asked_for(self, single):
        single_precision, half = read(single), read(single, torch.bfloat16)
        assert {weight.dtype for weight in half.values()} == {torch.bfloat16}
        assert all(
            torch.equal(weight.bfloat16(), half[name])
            for name, weight in single_precision.items()
        )

    def test_what_the_model_does_not_use_is_ignored(self, tmp_path):
        folder = write(tmp_path, tied=True)
        unused = {
            "lm_head.weight": torch.ones(1),
            "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
            "counter": torch.ones(1, dtype=torch.int64),
        }
        rewrite(folder, **unused)
        assert read(folder).keys() == shapes(model(str(folder))).keys()


class TestRefusals:
    def refused(self, folder, sentence):
        with pytest.raises(ConfigError, match=sentence) as caught:
            read(folder)
        assert "\n" not in str(caught.value)

    def test_a_missing_weight(self, single):
        rewrite(single, **{"model.norm.weight": None})
        self.refused(
            single,
            r"single lacks the weight model\.norm\.weight: is config\.json that of these weights\?",
        )

    def test_weights_without_the_prefix(self, single):
        file = single / "model.safetensors"
        save_file(
            {name.removeprefix("model."): w.clone() for name, w in load_file(file).items()},
            file,
        )
        self.refused(
            single, r"lacks the weight model\.embed_tokens\.weight and 19 more: is config"
        )

    def test_a_weight_of_another_shape(self, single):
        rewrite(single, **{"model.norm.weight": torch.ones(32)})
        self.refused(
            single,
            r"norm.weight in .*safetensors has the shape \(32,\) and \(64,\) is expected: is ",
        )

    @pytest.mark.parametrize(
        ("dtype", "name"), [(torch.int8, "I8"), (torch.float8_e4m3fn, "F8_E4M3")]
    )
    def test_a_quantized_weight(self, single, dtype, name):
        rewrite(single, **{"model.norm.weight": torch.ones(64).to(dtype)})
        self.refused(
            single,
            f"norm.weight in .* is stored as {name}, not BF16, F16, F32, F64: choose a",
        )

    def test_no_weights(self, single):
        (single / "model.safetensors").unlink()
        self.refused(
            single,
            r"has no weights: it needs model\.safetensors, or model\.safetensors\.index\.json",
        )

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth"])
    def test_weights_in_pickles_only(self, single, name):
        (single / "model.safetensors").rename(single / name)
        self.refused(
            single,
            f"single has its weights only as {name}, which may run code when read: convert them to",
        )

    @pytest.mark.parametrize(
        "damage", [lambda b: b[:-10], lambda b: b"version https://git-lfs", lambda _: b""]
    )
    def test_a_damaged_file(self, single, damage):
        file = single / "model.safetensors"
        file.write_bytes(damage(file.read_bytes()))
        self.refused(single, r"model\.safetensors is damaged \(.+\): download it again")

    def test_a_missing_shard(self, tmp_path, sharded):
        folder = self.copied(sharded, tmp_path)
        (folder / "model-00002-of-00006.safetensors").unlink()
        self.refused(
            folder,
            r"model-00002-of-00006\.safetensors is missing, which model\.safetensors\.index\.json",
        )

    @pytest.mark.parametrize(
        "index",
        [{}, {"weight_map": []}, {"weight_map": {"a": 1}}, {"weight_map": {"a": "../b"}}],
    )
    def test_an_index_that_names_no_files_of_the_folder(self, tmp_path, sharded, index):
        folder = self.copied(sharded, tmp_path)
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        self.refused(
            folder,
            r"index\.json does not map weights to files of its folder: download it again",
        )

    def test_no_safetensors_library(self, single, monkeypatch):
        monkeypatch.setitem(sys.modules, "safetensors", None)
        self.refused(single, "needs safetensors to be read: pip install safetensors")

    def copied(self, source, to):
        for file in source.iterdir():
            (to / file.name).write_bytes(file.read_bytes())
        return to


class TestRandomWeights:
    def test_the_same_for_the_same_seed_and_like_those_of_a_fresh_model(self):
        first, again, other = (
            random_weights(model("tiny"), seed, torch.float32) for seed in (0, 0, 1)
        )
        assert {name: tuple(weight.shape) for name, weight in first.items()} == shapes(
            model("tiny")
        )
        assert all(torch.equal(weight, again[name]) for name, weight in first.items())
        for name, weight in first.items():
            if "norm" in name:
                assert torch.equal(weight, torch.ones_like(weight))
            else:
                assert not torch.equal(weight, other[name])
                assert weight.std().item() == pytest.approx(checkpoint.RANDOM_STD, rel=0.1)
                assert abs(weight.mean().item()) < 0.002

    def test_in_the_dtype_and_on_the_device_and_the_generator_of_others_is_left_alone(self):
        before = torch.random.get_rng_state()
        weights = random_weights(replace(model("tiny"), qk_norm=True), 0, torch.bfloat16)
        assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
        assert "model.layers.1.self_attn.q_norm.weight" in weights
        assert torch.equal(before, torch.random.get_rng_state())
