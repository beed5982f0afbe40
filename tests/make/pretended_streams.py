"""A device of our own engine whose three streams are pretended: each operation lasts as long."""

from __future__ import annotations

import time

from idlescope.engine.devices.streamed import ORDER, Names, StreamedDevice
from idlescope.engine.slots import Slot
from idlescope.models.presets import model
from idlescope.trace.model import OperationKind


class PretendedStreams(StreamedDevice):
    """Implements `Device`: what is submitted runs at once, stream after stream."""

    kind = name = "pretended"
    names = (
        Names(OperationKind.MEMCPY, "copy in", "submit copy in"),
        Names(OperationKind.KERNEL, "forward", "submit forward"),
        Names(OperationKind.MEMCPY, "copy out", "submit copy out"),
    )

    def __init__(self, length_ns: int) -> None:
        super().__init__(model("tiny"))
        self.length_ns = length_ns
        self._free = 0
        self._spans: dict[int, list[tuple[int, int]]] = {}  # of each slot's last step

    def _start(self, shape, slots):
        return [Slot(shape) for _ in range(slots)]

    def _issue(self, stream, waits_for, slot, batch):
        start = max(self._free, self.clock.now())
        self._free = start + self.length_ns
        spans = self._spans.setdefault(slot, [])
        del spans[: len(spans) // len(ORDER) * len(ORDER)]
        spans.append((start, self._free))

    def _wait(self, slot):
        while self.clock.now() < self._spans[slot][-1][-1]:
            time.sleep(1e-5)
        return self._spans[slot]

    def _stop(self):
        pass
