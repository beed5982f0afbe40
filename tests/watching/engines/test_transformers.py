"""transformers' own loop, watched by the host's clock while it serves on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.17")

from idlescope.analysis.steps.step_kind import STEP_KINDS, StepKind
from idlescope.capture.transformers.network import load
from idlescope.capture.transformers.serve import Settings, serve
from idlescope.engine.requests import Request
from idlescope.models.presets import model
from idlescope.watching import patching
from idlescope.watching.engines import plugin
from idlescope.watching.engines.transformers import watch_transformers
from tests.make import checkpoints


@pytest.fixture
def loop(monkeypatch, tmp_path):
    monkeypatch.setenv("IDLESCOPE_WATCH", "host")
    monkeypatch.setenv("IDLESCOPE_WATCH_FOLDER", str(tmp_path / "watches"))
    monkeypatch.setattr(plugin, "_REGISTERED", {})
    put_back = []

    def wrap(owner, name, wrapping):
        put_back.append((owner, name, vars(owner).get(name)))
        return wrapped(owner, name, wrapping)

    wrapped = patching.wrap
    for module in ("transformers", "replays"):
        monkeypatch.setattr(f"idlescope.watching.engines.{module}.wrap", wrap)
    yield watch_transformers()
    for owner, name, original in put_back:
        if original is not None:
            setattr(owner, name, original)


def test_steps_phases_and_waits_of_its_loop(loop, tmp_path):
    folder = checkpoints.write(tmp_path / "llama", initializer_range=0.1)
    network = load(model(str(folder)), "float32", "cpu", 0)
    requests = [Request(i, np.arange(4 + i, dtype=np.int32), 5) for i in range(3)]
    served = serve(network, requests, Settings(False, 2, 64, True, 6))
    assert served.tokens == 15

    watch = loop.watch
    watch.settle()
    tables = watch._ring.tables()
    names = list(watch.rows.names)
    kinds = [STEP_KINDS[code] for code in tables.steps["kind"]]
    assert StepKind.PREFILL in kinds
    assert StepKind.DECODE in kinds
    calls = {names[code] for code in tables.calls["name"]}
    assert calls == {"launch.forward", "event.synchronize (tokens)"}
    phases = {names[code] for code in tables.phases["name"]}
    assert {"prepare", "schedule", "update"} <= phases
    watch.close()
