"""The command for Nsight Systems, and what goes wrong with it."""

from __future__ import annotations

import os
import stat

import pytest

import idlescope
from idlescope.capture import nsys

torch = pytest.importorskip("torch")


class TestNsys:
    CONFIG = idlescope.RunConfig(
        model="tiny",
        device="cpu",
        mode="sync",
        tokens=40,
        batch_size=2,
        profile="nsys:10-19",
    )

    def test_without_nsys_the_command_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        run = idlescope.run(self.CONFIG, folder=tmp_path)
        (note,) = [note for note in run.notes if "nsys" in note]
        assert "nsys is not on PATH" in note
        for part in (
            "--cuda-graph-trace=node",
            "--nvtx-capture=window@idlescope",
            "--capture-range=nvtx",
            "NSYS_NVTX_PROFILER_REGISTER_ONLY=0",
            "--profile nsys:10-19",
            "--mode sync",
        ):
            assert part in note
        assert "--trace=cuda,nvtx" in note

    @pytest.mark.parametrize(
        ("script", "said"),
        [
            ("exit 3", "the run under nsys failed: it said nothing"),
            (
                "echo 'no permission' >&2; exit 1",
                "the run under nsys failed: no permission",
            ),
            (
                'while [ "$1" != -I ]; do last=$1; shift; done; exec "$last" "$@"',
                "nsys recorded nothing",
            ),
        ],
    )
    def test_what_goes_wrong_is_said(self, tmp_path, monkeypatch, script, said):
        tool = tmp_path / "bin" / "nsys"
        tool.parent.mkdir()
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
        run = idlescope.run(self.CONFIG, folder=tmp_path)
        assert any(said in note for note in run.notes), run.notes
        assert run.modes["sync"].profiled is None

    def test_a_run_under_nsys_starts_no_other(self, tmp_path, monkeypatch):
        monkeypatch.setenv(nsys.UNDER_NSYS, "1")
        monkeypatch.setattr(nsys, "on_path", lambda: pytest.fail("nsys within nsys"))
        assert idlescope.run(self.CONFIG, folder=tmp_path).modes["sync"].profiled is None
