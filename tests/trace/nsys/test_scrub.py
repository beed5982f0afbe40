"""A scrubbed Nsight export tells nothing of who recorded it, and has every figure."""

from __future__ import annotations

import pytest

import idlescope
from idlescope.errors import TraceError
from idlescope.trace.scrub.copy import scrub
from tests.make.secrets import (
    SECRETS,
    all_bytes,
    figures,
    nsight_export,
    parquet_export,
    tells_nothing,
)


class TestNsight:
    def test_the_fixture_holds_the_secrets_even_in_free_pages(self, tmp_path):
        path = nsight_export(tmp_path / "in.sqlite")
        assert all(secret in all_bytes(path).lower() for secret in SECRETS)
        assert b"zoltan on hostname17 zoltan" in all_bytes(path)

    @pytest.mark.parametrize("kind", ["sqlite", "parquet"])
    def test_nothing_is_told_and_every_figure_stays(self, tmp_path, kind):
        source = nsight_export(tmp_path / "in.sqlite")
        if kind == "parquet":
            source = parquet_export(source, tmp_path / "in")
        before = all_bytes(source)
        result = scrub(source, tmp_path / "out")
        tells_nothing(tmp_path / "out")
        assert figures(tmp_path / "out") == figures(source)
        assert all_bytes(source) == before
        got, original = idlescope.open(tmp_path / "out"), idlescope.open(source)
        assert [t.label for t in got.threads] == [t.label for t in original.threads]
        assert {"train.py", "kernel.cu"} <= set(got.names)
        assert list(got.meta.dropped) == ["The profiler lost records."]
        assert {d.identity.removeprefix("GPU-") for d in got.devices} == {
            "00000000-0000-0000-0000-000000000001"
        }
        for line in (
            "removed environment, command lines and settings of the capture (META_DATA_CAPTURE): 1",
            "removed facts about the machine (TARGET_INFO_SYSTEM_ENV): 1",
            "removed captured files (ANALYSIS_FILE): 1",
            "removed names of processes: 3",
            "removed names of threads without records: 3",
            "removed rows of tables that idlescope does not know: 1",
        ):
            assert line in result.lines()

    def test_a_damaged_export_leaves_nothing(self, tmp_path):
        path = nsight_export(tmp_path / "in.sqlite")
        path.write_bytes(path.read_bytes()[:8192])
        with pytest.raises(TraceError):
            scrub(path, tmp_path / "out.sqlite")
        assert [p.name for p in tmp_path.iterdir()] == ["in.sqlite"]
