"""A real capture by Nsight Systems of a run on the CPU device, where nsys is on PATH."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version

import pytest

import idlescope
from idlescope.doctor.libraries import NVTX_SILENT, NVTX_UNSEEN_BY
from idlescope.doctor.versions import dotted, numbers
from idlescope.trace.names.own_engine import ENGINE_PHASES

torch = pytest.importorskip("torch")
pytest.importorskip("nvtx")


@pytest.fixture
def nsys():
    tool = shutil.which("nsys")
    if tool is None:
        pytest.skip("nsys is not on PATH")
    said = subprocess.run(
        [tool, "--version"], capture_output=True, text=True, check=True
    ).stdout
    release = numbers(said.split("version")[-1].strip())[:2]
    if release <= NVTX_UNSEEN_BY and numbers(version("nvtx")) >= NVTX_SILENT:
        pytest.skip(
            f"nsys {dotted(release)} records nothing of nvtx {version('nvtx')}: take nvtx 0.2.11"
        )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_nsys_agrees_with_the_step_clock(nsys, tmp_path, mode):
    config = idlescope.RunConfig(
        model="tiny",
        device="cpu",
        mode=mode,
        tokens=60,
        batch_size=8,
        host_ms=5,
        profile="nsys:20-39",
    )
    run = idlescope.run(config, folder=tmp_path)
    profiled = run.modes[mode].profiled
    assert profiled is not None, run.notes
    (host,) = profiled.analysis.host_phases
    assert (profiled.analysis.source["format"], profiled.analysis.engine) == (
        "nsys",
        "idlescope",
    )
    assert (host.starts.size, host.spans) == (20, dict.fromkeys(ENGINE_PHASES, 20))
    assert host.step_ns == pytest.approx(profiled.step_ns["inside"], rel=0.01)
    assert host.total_ns["prepare"] == pytest.approx(
        profiled.phase_ns["step clock"]["prepare"], rel=0.01
    )
