"""Sizes that follow from an architecture."""

from __future__ import annotations

import pytest

from idlescope.models.presets import MODELS, model


def test_parameters_are_those_of_the_published_models():
    billions = {key: m.params / 1e9 for key, m in MODELS.items()}
    published = {
        "1b": 1.24,
        "3b": 3.21,
        "8b": 8.03,
        "70b": 70.6,
        "qwen3-0.6b": 0.60,
        "qwen3-8b": 8.19,
    }
    for key, expected in published.items():
        assert billions[key] == pytest.approx(expected, rel=0.01)
    assert model("8b").kv_bytes_per_token == 131_072
    assert model("8b").step_params * 2 == pytest.approx(15.0e9, rel=0.01)
