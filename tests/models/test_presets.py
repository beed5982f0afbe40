"""Models by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from idlescope.engine.devices.step_time import StepWork, step_ns
from idlescope.errors import ConfigError
from idlescope.hardware.gpus import gpu
from idlescope.models.architecture import RopeScaling
from idlescope.models.presets import MODELS, model
from tests.models.test_hugging_face import configure


def test_those_of_a_family_share_what_their_config_json_say():
    for key, factor in (("1b", 32.0), ("3b", 32.0), ("8b", 8.0), ("70b", 8.0)):
        m = model(key)
        assert (m.norm_eps, m.rope_theta, m.qk_norm) == (1e-5, 500_000.0, False)
        assert m.rope_scaling == RopeScaling(factor, 1.0, 4.0, 8192)
    for key in ("qwen3-0.6b", "qwen3-8b"):
        m = model(key)
        assert (m.norm_eps, m.rope_theta, m.rope_scaling, m.qk_norm) == (
            1e-6,
            1_000_000.0,
            None,
            True,
        )
    tiny = model("tiny")
    assert (tiny.norm_eps, tiny.rope_theta, tiny.rope_scaling, tiny.qk_norm) == (
        1e-5,
        10_000.0,
        None,
        False,
    )
    assert {(m.dtype, m.value_bytes, m.folder) for m in MODELS.values()} == {
        ("bfloat16", 2, None)
    }


def test_a_name_comes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configure(tmp_path / "8b")
    configure(tmp_path / "mine")
    assert model("8B") is MODELS["8b"]
    assert model("./8b").hidden == model("mine").hidden == 64


def test_float32_doubles_the_bytes_and_no_operations():
    half, single = model("8b"), replace(model("8b"), value_bytes=4)
    assert single.weight_bytes == 2 * half.weight_bytes == 4 * half.params
    assert single.kv_bytes_per_token == 2 * half.kv_bytes_per_token == 262_144
    assert single.step_bytes(100) == 2 * half.step_bytes(100)
    assert single.step_flops(3, 2, 50) == half.step_flops(3, 2, 50)
    work = StepWork(tokens=1, sampled=1, context=1000, pairs=1000)
    assert step_ns(single, gpu("h200"), work) > 1.6 * step_ns(half, gpu("h200"), work)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ConfigError, match="no model is known as 'gpt': choose one of tiny"):
        model("gpt")
