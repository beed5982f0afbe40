"""The engine on the CPU device, a worker process that really runs beside the host.

It is right, and caught when it is not.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from idlescope.analysis.analyze import analyze
from idlescope.capture.step_clock import StepClock
from idlescope.engine.devices.base import COMPUTE, D2H, H2D
from idlescope.engine.devices.cpu import CpuDevice
from idlescope.engine.loop import Engine
from idlescope.engine.network.network import Network
from idlescope.engine.requests import Finish, Request
from idlescope.engine.running_rows import Shape
from idlescope.errors import ConfigError, EngineError
from idlescope.models.presets import model
from idlescope.trace.metadata import Metadata
from idlescope.trace.names.own_engine import DEPTHS
from tests.make import checkpoints, forked_workers
from tests.make.checkpoints import write

TOKENS, COUNT, VOCAB = 12, 64, 512
SHAPES = {
    "roomy": Shape(32, 2048, 100, 32 * 7, 16),
    "chunked prefill": Shape(16, 24, 80, 16 * 5, 16),
    "few blocks": Shape(16, 64, 80, 60, 4),
}


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def family(request, tmp_path_factory):
    """A checkpoint whose tokens depend on the whole context, and what transformers answers."""
    folder = write(
        tmp_path_factory.mktemp(request.param), request.param, seed=1, initializer_range=0.3
    )
    return Network(model(str(folder)), "float32"), reference(folder, prompts())


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("llama"), "llama", seed=1, initializer_range=0.3)
    return Network(model(str(folder)), "float32")


@pytest.fixture(scope="module")
def expected(llama):
    """What a synchronous run says."""
    some = requests(8, 30)
    run(llama, SHAPES["roomy"], 1, some)
    return [r.output for r in some]


def prompts(count=COUNT):
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, VOCAB, int(rng.integers(1, 60)), np.int32) for _ in range(count)
    ]


def requests(count=COUNT, tokens=TOKENS, stops=()):
    return [Request(i, prompt, tokens, stops) for i, prompt in enumerate(prompts(count))]


def reference(folder, some):
    """What transformers says to all prompts at once, each behind its padding."""
    longest = max(map(len, some))
    ids = np.stack([np.pad(prompt, (longest - len(prompt), 0)) for prompt in some])
    is_prompt = np.stack([np.arange(longest) >= longest - len(prompt) for prompt in some])
    out = checkpoints.network(folder).generate(
        torch.from_numpy(ids).long(),
        attention_mask=torch.from_numpy(is_prompt).long(),
        max_new_tokens=TOKENS,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return out[:, longest:].tolist()


def run(network, shape, depth, some, *, spoil=None, on_step=None, device=None):
    """Run requests to their end; return the engine and its recording."""
    device = device or CpuDevice(network)
    slots = device.open(shape, depth)
    try:
        recorder = StepClock(device.clock.now)
        engine = Engine(device, slots, some, recorder)
        if spoil is not None:
            spoil(engine)
        engine.run(on_step)
        return engine, recorder
    finally:
        device.close()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", DEPTHS)
def test_greedy_tokens_equal_those_of_transformers(family, shape, mode):
    network, expected = family
    some = requests()
    engine, _ = run(network, SHAPES[shape], DEPTHS[mode], some)
    assert [r.output for r in some] == expected
    assert engine.scheduler.allocator.free == SHAPES[shape].blocks
    assert (sum(r.preemptions for r in some) > 0) == (shape == "few blocks")


def test_the_device_does_the_same_work_in_both_modes(llama):
    work = {}
    for mode, depth in DEPTHS.items():
        engine, recorder = run(llama, SHAPES["roomy"], depth, requests(32))
        operations = recorder.trace("d", Metadata()).operations
        work[mode] = [
            (engine.steps, *column.tolist())
            for column in (operations.name, operations.bytes)
        ]
    assert work["sync"] == work["async"]


def test_the_trace_of_a_run_adds_up_and_shows_the_overlap(llama):
    assert early_share(llama, "sync") == 0
    # a host that is descheduled for long comes late even so
    assert any(early_share(llama, "async") > 0.9 for _ in range(4))


def early_share(network, mode):
    """The share of steps that were launched while the one before ran, in a run that adds up."""
    _, recorder = run(
        network, SHAPES["roomy"], DEPTHS[mode], requests(32, 20), device=LongSteps(network)
    )
    (result,) = analyze(recorder.trace("d", Metadata())).results
    assert sum(result.gaps.totals().values()) == result.occupancy.idle_ns
    return np.mean(result.steps.early[1:])


class TestBrokenOnPurpose:
    """What asynchrony must get right, broken: the tokens or the engine itself must show it."""

    shape = SHAPES["roomy"]

    def outputs(self, network, spoil=None, device=None, shape=shape):
        some = requests(8, 30)
        run(network, shape, 2, some, spoil=spoil, device=device)
        return [r.output for r in some]

    def test_unbroken_it_is_right(self, llama, expected):
        assert self.outputs(llama) == expected

    def test_one_buffer_instead_of_two(self, llama, expected):
        def share(engine):
            engine._slots[1] = engine._slots[0]

        assert self.outputs(llama, share) != expected

    def test_carry_over_off_by_one(self, llama, expected):
        assert (
            self.outputs(llama, lambda e: spoil_carry(e, lambda carry: (carry + 1) % 8))
            != expected
        )

    def test_a_known_token_that_does_not_read_the_static_zero(self, llama, expected):
        def spoil(engine):
            spoil_carry(engine, lambda carry: carry, known=0)

        chunked = Shape(8, 24, 100, 56, 16)  # chunks of prompts while others decode
        assert self.outputs(llama, shape=chunked) == expected
        with contextlib.suppress(EngineError):  # what it read was no token at all
            assert self.outputs(llama, spoil, shape=chunked) != expected

    @pytest.mark.parametrize("stream", [COMPUTE, D2H])
    def test_a_missing_wait(self, llama, expected, stream):
        device = SlowCopies(llama)
        assert self.outputs(llama, device=device) == expected
        device = SlowCopies(llama)
        issue = device._issue
        device._issue = lambda s, waits_for, *rest: issue(
            s, None if s == stream else waits_for, *rest
        )
        with contextlib.suppress(EngineError):  # what it read was no step at all
            assert self.outputs(llama, device=device) != expected

    def test_blocks_freed_while_a_step_in_flight_writes_them(self, llama, expected):
        """Stops end requests one step late; their blocks go to those that wait.

        The stale step spoils the prefill of those.
        """
        shape = Shape(8, 256, 90, 64, 4)
        stops = tuple(range(0, VOCAB, 8))
        right = requests(48, 30, stops)
        run(llama, shape, 1, right)
        for early in (False, True):
            some = requests(48, 30, stops)
            owned = []

            def spoil(engine, early=early, owned=owned):
                scheduler = engine.scheduler

                def release(row):
                    request, blocks = scheduler.rows.leave(row)
                    scheduler.allocator.give_back(blocks)
                    return request

                if early:
                    scheduler._release = release
                submit = engine.device.submit

                def watched(slot, batch):
                    for flying in engine.in_flight:
                        places = flying.ticket.slot.tokens[
                            : flying.ticket.slot.header[1], 3
                        ]
                        owned.append(
                            scheduler.allocator.owned(np.unique(places // shape.block_size))
                        )
                        mine = np.unique(slot.tokens[: batch.tokens, 3])
                        owned.append(not np.isin(places, mine).any())
                    return submit(slot, batch)

                engine.device.submit = watched

            run(llama, shape, 2, some, spoil=spoil)
            assert all(owned) == (not early)
            if not early:
                assert [r.output for r in some] == [r.output for r in right]

    def test_a_late_token_that_is_not_dropped(self, llama):
        stops = tuple(range(0, VOCAB, 8))
        right = requests(24, 30, stops)
        run(llama, self.shape, 1, right)
        for keep in (False, True):
            some = requests(24, 30, stops)

            def spoil(engine, keep=keep):
                update = engine.scheduler.update

                def careless(batch, tokens, now):
                    rows = batch.rows[batch.sampled]
                    return update(
                        batch._replace(life=engine.scheduler.rows.life[rows]), tokens, now
                    )

                if keep:
                    engine.scheduler.update = careless

            try:
                run(llama, Shape(4, 256, 90, 100, 4), 2, some, spoil=spoil)
                wrong = [r.output for r in some] != [r.output for r in right]
            except EngineError:
                wrong = True
            assert wrong == keep

    @pytest.mark.parametrize("depth", DEPTHS.values())
    def test_no_surplus_step_once_the_limit_is_certain(self, llama, depth):
        engine, _ = run(llama, self.shape, depth, requests(8, 30))
        assert engine.steps == 30  # the prompts fit in the first step

    @pytest.mark.parametrize("depth", DEPTHS.values())
    def test_cancelling_in_flight_frees_everything_and_keeps_the_others_right(
        self, llama, expected, depth
    ):
        some = requests(8, 30)

        def cancel(engine):
            if engine.steps == 9:
                for victim in (1, 6):
                    engine.scheduler.cancel(some[victim], engine.clock.now())

        engine, _ = run(llama, self.shape, depth, some, on_step=cancel)
        assert [i for i, r in enumerate(some) if r.finish == Finish.CANCELLED] == [1, 6]
        for i, request in enumerate(some):
            assert request.output == expected[i][: len(request.output)]
            assert request.finish == Finish.CANCELLED or len(request.output) == 30
        assert engine.scheduler.allocator.free == self.shape.blocks

    @pytest.mark.parametrize("depth", DEPTHS.values())
    def test_a_failure_in_flight_names_the_step_drains_and_leaks_no_block(
        self, llama, depth
    ):
        engines = []

        def fail(engine):
            engines.append(engine)

            def emit(emitted):
                if emitted.step == 6:
                    raise RuntimeError("the detokeniser broke")

            engine.emit = emit

        with pytest.raises(
            EngineError, match="step 6 failed: RuntimeError: the detokeniser broke"
        ):
            run(llama, self.shape, depth, requests(8, 30), spoil=fail)
        assert not engines[0].in_flight
        assert engines[0].scheduler.allocator.free == self.shape.blocks


class SlowCopies(CpuDevice):
    def _spawn(self, socket, memory):
        return forked_workers.spawn(
            self, socket, memory, "tests.engine.devices.slow_worker"
        )


class LongSteps(CpuDevice):
    def _spawn(self, socket, memory):
        return forked_workers.spawn(
            self, socket, memory, "tests.engine.devices.long_worker"
        )


def spoil_carry(engine, change, known=-1):
    """Change the carry-over indices of every step; -1 becomes `known`."""
    for slot in engine._slots:

        def wrong(batch, rows, slot=slot, fill=slot.fill):
            fill(batch, rows)
            carry = slot.tokens[: batch.tokens, 2]
            carry[:] = np.where(carry >= 0, change(carry), known if batch.step else -1)

        slot.fill = wrong


class TestSampling:
    def tokens(self, network, some, **how):
        run(replace(network, **how), SHAPES["roomy"], 2, some)
        return [r.output for r in some]

    def test_a_requests_tokens_do_not_depend_on_its_neighbours_or_the_mode(self, llama):
        how = {"temperature": 1.0, "top_k": 50, "top_p": 0.9, "seed": 3}
        together = self.tokens(llama, requests(24), **how)
        alone = [request for request in requests(24) if request.id in (3, 17)]
        assert self.tokens(llama, alone, **how) == [together[3], together[17]]

    def test_another_seed_draws_other_tokens(self, llama):
        first, second = (
            self.tokens(llama, requests(8), temperature=1.0, seed=seed) for seed in (1, 2)
        )
        assert first != second

    @pytest.mark.parametrize("how", [{"top_k": 1}, {"top_p": 1e-6}])
    def test_with_one_token_left_to_draw_from_it_is_greedy(self, llama, how):
        assert self.tokens(llama, requests(8), temperature=0.7, **how) == self.tokens(
            llama, requests(8)
        )


class TestWorker:
    @pytest.fixture
    def as_in_use(self, monkeypatch):
        """Workers are started as programs of their own, which import torch anew."""
        monkeypatch.setattr(CpuDevice, "_spawn", forked_workers.SPAWN_AS_IN_USE)

    def test_its_death_is_one_clear_error_and_no_hang(self, llama, as_in_use):
        self.dies(llama, 5, 2)

    def test_its_death_in_the_first_step_is_one_clear_error_too(self, llama):
        self.dies(llama, 1, 1)

    def dies(self, llama, step, depth):
        device = CpuDevice(llama)
        engines = []

        def kill(engine):
            engines.append(engine)
            if engine.steps == step:
                os.kill(device._process.pid, signal.SIGKILL)

        start = time.monotonic()
        with pytest.raises(
            EngineError,
            match=r"step \d+ failed: .*the CPU worker died \(killed by SIGKILL\)",
        ):
            run(llama, SHAPES["roomy"], depth, requests(8, 30), on_step=kill, device=device)
        assert time.monotonic() - start < 20
        assert engines[0].scheduler.allocator.free == SHAPES["roomy"].blocks

    def test_an_error_inside_it_is_said_with_the_step(self, llama):
        def spoil(engine):
            for slot in engine._slots:

                def wrong(batch, rows, slot=slot, fill=slot.fill):
                    fill(batch, rows)
                    slot.tokens[: batch.tokens, 0] = (
                        VOCAB + 5 if batch.step == 3 else slot.tokens[: batch.tokens, 0]
                    )

                slot.fill = wrong

        with pytest.raises(
            EngineError, match=r"step 3 failed.*CPU worker failed: IndexError"
        ):
            run(llama, SHAPES["roomy"], 1, requests(8, 30), spoil=spoil)

    def test_it_dies_with_its_parent_and_nothing_is_left_in_shared_memory(self, tmp_path):
        before = set(os.listdir("/dev/shm")) if Path("/dev/shm").exists() else set()
        script = tmp_path / "parent.py"
        script.write_text(
            textwrap.dedent("""
            import time
            from idlescope.engine.devices.cpu import CpuDevice
            from idlescope.engine.network.network import Network
            from idlescope.models.presets import model
            from idlescope.engine.running_rows import Shape
            device = CpuDevice(Network(model("tiny"), "float32"))
            device.open(Shape(2, 16, 32, 8, 16), 2)
            print(device._process.pid, flush=True)
            time.sleep(60)
            """)
        )
        parent = subprocess.Popen(
            [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
        )
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)
        parent.kill()
        parent.communicate()
        deadline = time.monotonic() + 10
        while alive(worker):
            assert time.monotonic() < deadline, "the worker outlived its parent"
            time.sleep(0.05)
        if Path("/dev/shm").exists():
            assert set(os.listdir("/dev/shm")) <= before

    def test_closing_leaves_no_process_and_no_open_file(self, llama, request):
        def open_files():
            gc.collect()  # the slots of devices before
            return len(os.listdir("/proc/self/fd"))

        if not Path("/proc/self/fd").exists():
            pytest.skip("no /proc")
        run(llama, SHAPES["roomy"], 2, requests(2, 4))
        before = open_files()
        request.getfixturevalue("as_in_use")
        device = CpuDevice(llama)
        run(llama, SHAPES["roomy"], 2, requests(2, 4), device=device)
        assert device._process is None
        assert open_files() <= before

    def test_a_checkpoint_that_cannot_be_read_is_the_users_error(self, llama, tmp_path):
        device = CpuDevice(replace(llama, model=replace(llama.model, folder=tmp_path)))
        try:
            with pytest.raises(ConfigError, match="safetensors"):
                device.open(SHAPES["roomy"], 1)
        finally:
            device.close()

    def test_the_parent_needs_no_torch(self, tmp_path):
        script = (
            "import sys; sys.modules['torch'] = None\nimport idlescope.engine.devices.cpu"
        )
        subprocess.run([sys.executable, "-c", script], check=True)


def alive(pid):
    """Whether a process runs; one that has ended but is not yet waited for by init does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_h2d_waits_for_nothing_compute_for_h2d_and_d2h_for_compute(llama):
    device, seen = CpuDevice(llama), []
    issue = device._issue
    device._issue = lambda stream, waits_for, *rest: (
        seen.append((stream, waits_for)),
        issue(stream, waits_for, *rest),
    )
    run(llama, SHAPES["roomy"], 2, requests(2, 3), device=device)
    assert set(seen) == {(H2D, None), (COMPUTE, H2D), (D2H, COMPUTE)}
