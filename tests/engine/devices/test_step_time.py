"""How long the kernels of a step take on a modelled GPU."""

from __future__ import annotations

import numpy as np
import pytest

from idlescope.engine.devices import step_time
from idlescope.engine.devices.step_time import StepWork, step_ns
from idlescope.hardware.gpus import GPUS, gpu, ideal_ns
from idlescope.models.presets import MODELS, model


# reports/h200/steps.json: graphs in a row
@pytest.mark.parametrize(
    ("key", "rows", "context", "measured_ms"),
    [
        ("8b", 32, 512, 5.20),
        ("8b", 32, 2048, 6.69),
        ("8b", 32, 4352, 8.88),
        ("8b", 32, 8192, 12.52),
        ("8b", 1, 356, 4.60),
        ("8b", 128, 356, 7.05),
        ("3b", 8, 356, 2.52),
        ("1b", 128, 356, 1.67),
        ("qwen3-0.6b", 1, 356, 1.07),
        ("qwen3-0.6b", 8, 2048, 1.58),
    ],
)
def test_decode_steps_measured_on_an_h200_come_out_within_five_per_cent(
    key, rows, context, measured_ms
):
    work = StepWork(tokens=rows, sampled=rows, context=rows * context, pairs=rows * context)
    assert step_ns(model(key), gpu("h200"), work) / 1e6 == pytest.approx(
        measured_ms, rel=0.05
    )


@pytest.mark.parametrize("key", MODELS)
@pytest.mark.parametrize("which", GPUS)
def test_no_step_beats_the_roofline_and_more_work_takes_longer(key, which):
    m, g = model(key), gpu(which)
    last = 0
    for tokens, context in ((1, 100), (32, 32_000), (512, 400_000), (8192, 500_000)):
        work = StepWork(tokens, tokens, context, max(context, tokens * 100))
        ns = step_ns(m, g, work)
        best = ideal_ns(
            np.array([m.step_bytes(context)]),
            np.array([m.step_flops(tokens, tokens, work.pairs)]),
            g,
        )
        assert ns > best[0]
        assert ns > last
        last = ns


def test_steps_without_attention_are_cached():
    step_time._without_attention_ns.cache_clear()
    for context in (100, 200, 300):
        step_ns(model("1b"), gpu("a100"), StepWork(8, 8, context, context))
    assert step_time._without_attention_ns.cache_info().misses == 1
