"""A scrubbed recording tells nothing of who made it, and has every figure."""

from __future__ import annotations

import pytest

import idlescope
from idlescope.trace.model import OperationKind, RangeKind
from idlescope.trace.open import open_trace
from idlescope.trace.recording import files
from idlescope.trace.scrub import meta
from idlescope.trace.scrub.copy import scrub
from tests.conftest import FIXTURES
from tests.make.secrets import HOME, figures, tells_nothing
from tests.make.traces import trace


def test_a_recording_tells_nothing_and_keeps_every_figure(tmp_path):
    made = trace(
        [(10, 20, OperationKind.KERNEL, 0, 0, 0, 5, -1, 0, 0.0)],
        [(1, 2, 0, 1, 5)],
        [(0, 9, 0, 0, int(RangeKind.ANNOTATION), -1)],
        processes=(f"{HOME}/rank0.json",),
        meta={
            "path": HOME,
            "command": "zoltan",
            "engine": "zoltan",
            "engine_version": "zoltan",
            "way": "zoltan",
            "warnings": [f"see {HOME}/log"],
            "lost": {"calls": 1},
            "distributedInfo": {"backend": "nccl", "rank": 1, "pg": "zoltan"},
            "dropped": [
                "hostname17 dropped NVTX events",
                "hostname17 lost one",
                "zoltan lost 2",
            ],
        },
    )
    names = [f"{HOME}/kernel.cu", "aten::mm", "zoltan"]
    files.write(
        type(made)(**{**made.__dict__, "names": tuple(names + list(made.names)[3:])}),
        tmp_path / "in",
    )
    result = scrub(tmp_path / "in", tmp_path / "out")
    tells_nothing(tmp_path / "out")
    assert figures(tmp_path / "out") == figures(tmp_path / "in")
    got = idlescope.open(tmp_path / "out")
    assert got.names == ("kernel.cu", "aten::mm")
    assert got.meta.lost == {"calls": 1}
    assert list(got.meta.dropped) == [
        "The profiler lost NVTX records.",
        *["The profiler lost records."] * 2,
    ]
    assert list(got.meta.warnings) == [meta.REPAIRED]
    assert got.meta.distributed == {"backend": "nccl", "rank": 1}
    assert result.removed["names that no record has"] == 5


@pytest.mark.parametrize(
    "name",
    [
        "vllm_1b_watched",
        "vllm_8b_watched",
        "sglang_8b_watched",
        "sglang_8b_mixed",
        "vllm_1b_quiet",
    ],
)
def test_a_watch_of_an_engine_is_judged_as_before(tmp_path, name):
    """What the engine is called and was set to has a part in the verdict."""
    scrub(FIXTURES / name, tmp_path / name)
    before, after = (
        idlescope.analyze(open_trace(folder / name)) for folder in (FIXTURES, tmp_path)
    )
    for device, scrubbed in zip(before.results, after.results, strict=True):
        assert scrubbed.verdict == device.verdict
        assert scrubbed.prediction.predicted == device.prediction.predicted
    assert after.warnings == before.warnings
