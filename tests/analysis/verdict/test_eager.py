"""Eager execution: gaps between kernels launched one by one, of which a graph would rid a step."""

from __future__ import annotations

import pytest

import idlescope
from idlescope.trace.open import open_trace
from tests.make.kineto_files import call, operation, write

US = 1_000
STEPS, PIECES = 6, 20
LATE_NS = 60 * US  # the host is so late with each launch


class Recorded:
    """Events of a host that launches one thing after the other, each after the last has ended."""

    def __init__(self):
        self.events, self.now, self.correlation = [], 0, 0

    def launch(self, busy_ns, by="cudaLaunchKernel"):
        self.now += LATE_NS
        self.correlation += 1
        begun = self.now
        self.events.append(call(begun, begun + US, self.correlation, by))
        self.now = begun + US + busy_ns
        self.events.append(operation(begun + US, self.now, correlation=self.correlation))

    def wait(self):
        self.events.append(call(self.now - US, self.now + US, 0, "cudaStreamSynchronize"))
        self.now += US

    def verdict(self, folder):
        path = write(folder / "trace.json", self.events)
        (device,) = idlescope.analyze(open_trace(path)).results
        return device.verdict


@pytest.mark.parametrize("graph_us", [3_000, 50])
def test_kernels_that_prepare_a_graph_are_eager_only_where_the_graph_is_little(
    tmp_path, graph_us
):
    loop = Recorded()
    for _ in range(STEPS):
        for _ in range(PIECES):
            loop.launch(10 * US)
        loop.launch(graph_us * US, by="cudaGraphLaunch")
        loop.wait()
    expected = "launch-bound" if graph_us == 50 else "synchronous"
    assert loop.verdict(tmp_path).kind == expected


def test_kernels_between_the_pieces_of_a_graph_are_eager(tmp_path):
    loop = Recorded()
    for _ in range(STEPS):
        for _ in range(PIECES):
            loop.launch(30 * US, by="cudaGraphLaunch")
            for _ in range(3):
                loop.launch(5 * US)
        loop.wait()
    assert loop.verdict(tmp_path).kind == "launch-bound"
