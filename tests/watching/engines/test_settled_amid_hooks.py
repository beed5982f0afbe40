"""Hooks of engines that are settled by another thread amid whatever they write lose nothing."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from idlescope.watching import turns
from idlescope.watching.watch import Watch
from tests.make.settled_once import settled_once
from tests.make.taking_turns import taking_turns
from tests.make.watched_loops import PretendedDevice
from tests.watching.engines.test_sglang import batch

FILES = (
    "engines/loop.py",
    "engines/replays.py",
    "engines/vllm_hooks.py",
    "engines/sglang_hooks.py",
    "watching/loop_watch.py",
    "watching/rows.py",
    "watching/watch.py",
)


def vllm_steps(vllm):
    """Return what serves a few steps of vLLM."""
    config = SimpleNamespace(parallel_config=SimpleNamespace(rank=0))
    module = vllm.module("v1.worker.gpu.model_runner")
    model_runner = module.GPUModelRunner(config, SimpleNamespace(type="cpu", index=None))
    scheduled = vllm.module("made").scheduled
    scheduler = vllm.module("v1.core.sched.scheduler").Scheduler()

    def serve():
        for _ in range(6):
            scheduler.schedule()
            model_runner.execute_model(scheduled({"a": 1, "b": 1}))
            model_runner.sample_tokens(None).get_output()
            scheduler.update_from_output(None, None)

    return serve


def sglang_steps(sglang):
    """Return what serves a few steps of SGLang, one of which it has made: the watch begins there."""
    scheduler = sglang.module("srt.managers.scheduler").Scheduler
    scheduler([batch("decode")]).event_loop()
    return scheduler([batch("decode") for _ in range(6)]).event_loop


ENGINES = {
    "vllm": ("0.24.0", "made", vllm_steps),
    "sglang": ("0.5.13", "srt", sglang_steps),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ENGINES)
def test_what_hooks_tell_is_counted_as_if_settled_once(fake, name, seed, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE_S", 0)
    version, imported_first, steps = ENGINES[name]
    engine = fake[name]
    engine.write(version)
    engine.module(imported_first)
    engine.register()
    way = PretendedDevice(length_ns=50_000)
    engine.loop._start = lambda device, rank: Watch(way=way)
    serve = steps(engine)
    watch = engine.loop.watch

    def settle():
        for _ in range(12):
            watch.settle()

    taking_turns(serve, settle, FILES, seed)
    time.sleep(0.002)  # the last operation has ended then
    watch.settle()
    assert not watch.off
    assert watch._account.totals == settled_once(watch).totals
    assert {"prepare", "schedule", "update"} <= set(watch._account.totals.host_ns)
