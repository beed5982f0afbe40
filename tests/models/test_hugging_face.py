"""Models that a Hugging Face config.json describes; what cannot be run right is refused."""

from __future__ import annotations

import json

import pytest

from idlescope.errors import ConfigError
from idlescope.models.architecture import RopeScaling
from idlescope.models.presets import model
from tests.make.checkpoints import LLAMA3_ROPE, write

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 512,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}
QWEN3 = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 32}
LLAMA3_OLD = {
    "rope_theta": 500_000.0,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
}
ABSENT = object()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "a-model"


def configure(folder, **changes):
    folder.mkdir(exist_ok=True)
    config = {
        name: value for name, value in {**CONFIG, **changes}.items() if value is not ABSENT
    }
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


class TestConfigJson:
    @pytest.mark.parametrize("tied", [False, True])
    @pytest.mark.parametrize(
        ("family", "rope", "scaling"),
        [
            ("llama", LLAMA3_ROPE, RopeScaling(8.0, 1.0, 4.0, 256)),
            ("llama", None, None),
            ("qwen3", None, None),
        ],
    )
    def test_what_transformers_writes_is_read(self, folder, family, rope, scaling, tied):
        write(
            folder,
            family,
            tied=tied,
            rope_parameters=rope,
            eos_token_id=[5, 6],
            head_dim=32,
        )
        m = model(str(folder))
        assert (m.key, m.name, m.folder) == ("a-model", "a-model", folder)
        assert (m.hidden, m.layers, m.heads, m.kv_heads, m.head_dim) == (64, 2, 4, 2, 32)
        assert (m.intermediate, m.vocab, m.max_position) == (128, 512, 2048)
        assert (m.tied, m.eos, m.norm_eps, m.qk_norm) == (
            tied,
            (5, 6),
            1e-6,
            family == "qwen3",
        )
        assert (m.rope_scaling, m.rope_theta) == (scaling, 500_000.0 if rope else 10_000.0)
        assert (m.dtype, m.value_bytes) == ("float32", 2)

    def test_what_may_be_left_out_has_transformers_defaults(self, folder):
        left_out = (
            "num_key_value_heads",
            "tie_word_embeddings",
            "eos_token_id",
            "torch_dtype",
            "architectures",
        )
        m = model(configure(folder, **dict.fromkeys(left_out, ABSENT)))
        assert (m.kv_heads, m.head_dim, m.tied, m.eos, m.dtype) == (
            4,
            16,
            False,
            (),
            "float32",
        )
        assert (m.rope_theta, m.rope_scaling) == (10_000.0, None)

    def test_both_forms_of_rope_parameters_mean_the_same(self, tmp_path):
        scaling, rope_theta = LLAMA3_OLD["rope_scaling"], LLAMA3_OLD["rope_theta"]
        new = {"rope_parameters": {**scaling, "rope_theta": rope_theta}}
        older = {
            "rope_theta": rope_theta,
            "rope_scaling": {**scaling, "type": "llama3", "rope_type": None},
        }
        forms = [
            model(configure(tmp_path / f"v{i}", **form))
            for i, form in enumerate((LLAMA3_OLD, new, older))
        ]
        assert {(m.rope_theta, m.rope_scaling) for m in forms} == {
            (500_000.0, RopeScaling(8.0, 1.0, 4.0, 8192))
        }
        plain = model(
            configure(tmp_path / "plain", rope_theta=1_000_000, rope_scaling=None)
        )
        assert (plain.rope_theta, plain.rope_scaling) == (1_000_000.0, None)

    @pytest.mark.parametrize(
        ("generation", "expected"),
        [
            ({"eos_token_id": [7, 8]}, (7, 8)),
            ({"eos_token_id": 9}, (9,)),
            ({}, (2,)),
            ({"eos_token_id": None}, (2,)),
        ],
    )
    def test_generation_config_says_first_what_ends_a_text(
        self, folder, generation, expected
    ):
        where = configure(folder)
        (folder / "generation_config.json").write_text(json.dumps(generation))
        assert model(where).eos == expected

    @pytest.mark.parametrize(
        ("name", "safe"),
        [("Llama 3.1\x1b[31m/<b>", "b"), ("a b\x1b[31m<c>", "a-b-31m-c"), ("...", "model")],
    )
    def test_the_key_can_be_a_part_of_any_file_name(self, tmp_path, name, safe):
        where = tmp_path / "x" / name
        where.mkdir(parents=True)
        assert (model(configure(where)).key, model(str(where)).name) == (safe, safe)
        assert len(model(configure(tmp_path / ("y" * 200))).key) == 80

    def test_a_folder_is_read_once(self, folder):
        where = configure(folder)
        assert model(where) is model(f"{where}/../a-model/")


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            (
                {"model_type": "mistral"},
                "model_type is 'mistral', not llama or qwen3: idlescope does not run such",
            ),
            ({"model_type": ABSENT}, "model_type is missing: is the file"),
            ({"\ud800": 1}, "a text in it holds half a character: is the file"),
            (
                {"architectures": ["LlamaForSequenceClassification"]},
                "architectures is .'LlamaForSequenceClassific",
            ),
            (
                {"architectures": ["Qwen3ForCausalLM"]},
                r"\['Qwen3ForCausalLM'\], not \['LlamaForCausalLM'\]: idle",
            ),
            (
                {"attention_bias": True},
                "attention_bias is true: idlescope does not run such models, choose another",
            ),
            ({"mlp_bias": True}, "mlp_bias is true: idlescope does not run"),
            ({"mlp_bias": "no"}, "mlp_bias is 'no', not true or false: is the file"),
            (
                {**QWEN3, "use_sliding_window": True},
                "use_sliding_window is true: idlescope does not run",
            ),
            (
                {**QWEN3, "layer_types": ["full_attention", "sliding_attention"]},
                "layer_types has others than 'full_at",
            ),
            (
                {"hidden_act": "gelu"},
                "hidden_act is 'gelu', not 'silu': idlescope does not run",
            ),
            (
                {"quantization_config": {"quant_method": "fp8"}},
                "quantization_config says that the weights are quant",
            ),
            (
                {"rope_scaling": {"type": "linear", "factor": 2.0}},
                "the rope type is 'linear', not 'default' or 'llama3'",
            ),
            (
                {"rope_parameters": {"rope_type": "yarn"}},
                "the rope type is 'yarn', not 'default' or 'llama3': idle",
            ),
            (
                {"rope_parameters": {"partial_rotary_factor": 0.5}},
                "rope_parameters.partial_rotary_factor is not 1: idle",
            ),
            (
                {"rope_scaling": [8.0]},
                r"rope_scaling is \[8.0\], not an object: is the file",
            ),
            (
                {"rope_scaling": {"rope_type": "llama3"}},
                "rope_scaling.factor is missing: is the file",
            ),
            (
                {"rope_parameters": {**LLAMA3_ROPE, "low_freq_factor": 4.0}},
                "low_freq_factor is not below high_freq",
            ),
            (
                {"rope_theta": "high"},
                "rope_theta is 'high', not a number above 0 and up to 2147483647: is the file",
            ),
            ({"rope_theta": float("nan")}, "rope_theta is nan, not a number above 0"),
            ({"rms_norm_eps": True}, "rms_norm_eps is True, not a number above 0"),
            ({"rms_norm_eps": ABSENT}, "rms_norm_eps is missing: is the file"),
            (
                {"hidden_size": ABSENT},
                "hidden_size is missing: is the file that of the published model?",
            ),
            (
                {"hidden_size": 64.0},
                "hidden_size is 64.0, not a whole number from 1 to 2147483647: is the file",
            ),
            ({"vocab_size": 0}, "vocab_size is 0, not a whole number"),
            (
                {"num_hidden_layers": 10**400},
                "num_hidden_layers is 1000*, not a whole number",
            ),
            (
                {"num_key_value_heads": 3},
                "num_key_value_heads 3 does not divide num_attention_heads 4: is the file",
            ),
            (
                {"head_dim": 15},
                "head_dim 15 is odd, and rotary embeddings turn pairs: is the file",
            ),
            ({"num_attention_heads": 6}, "head_dim is missing"),
            ({**QWEN3, "head_dim": ABSENT}, "head_dim is missing"),
            (
                {"eos_token_id": [2, "</s>"]},
                r"eos_token_id is \[2, '</s>'\], not a token or a list of tokens: is the",
            ),
            (
                {"dtype": "float8_e4m3fn"},
                "dtype is 'float8_e4m3fn', not bfloat16, float16, float32: idlescope does",
            ),
        ],
    )
    def test_one_sentence_says_what_is_wrong_where_and_what_to_do(
        self, folder, changes, sentence
    ):
        with pytest.raises(ConfigError, match=sentence) as caught:
            model(configure(folder, **changes))
        assert str(caught.value).startswith(f"{folder / 'config.json'}: ")
        assert "\n" not in str(caught.value)

    def test_a_folder_that_is_not_there_or_holds_no_checkpoint(self, folder):
        with pytest.raises(
            ConfigError,
            match=r"no folder is at 'meta/Llama': give that of a checkpoint \(none is down",
        ):
            model("meta/Llama")
        with pytest.raises(
            ConfigError,
            match=r"no model is known as 'x+…x+': choose one of tiny.*or give the folder of a",
        ):
            model("x" * 5000)
        with pytest.raises(ConfigError, match="no model is known as ''"):
            model("")
        folder.mkdir()
        with pytest.raises(
            ConfigError,
            match=r"a-model has no config\.json: give the folder of a Hugging Face checkpoint",
        ):
            model(str(folder))

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (
                b'{"hidden_size": ',
                r"config.json is not valid JSON \(.+\): download it again",
            ),
            (b"\xff\xfe\xfa", "config.json is not valid JSON"),
            (b"[" * 100_000, "config.json is not valid JSON"),
            (b"[]", "config.json holds no JSON object: download it again"),
        ],
    )
    def test_a_config_json_that_is_none(self, folder, content, sentence):
        folder.mkdir()
        (folder / "config.json").write_bytes(content)
        with pytest.raises(ConfigError, match=sentence):
            model(str(folder))

    def test_a_damaged_generation_config_is_named(self, folder):
        where = configure(folder)
        (folder / "generation_config.json").write_text("{")
        with pytest.raises(ConfigError, match=r"generation_config\.json is not valid JSON"):
            model(where)
