"""What the step loop needs of a device: slots, submit, wait, and a clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from idlescope.engine.clock import Clock
from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Batch
from idlescope.engine.slots import Slot
from idlescope.trace.model import OperationKind
from idlescope.trace.table import Int32

STREAMS = ("h2d", "compute", "d2h")
H2D, COMPUTE, D2H = range(3)


class DeviceOperation(NamedTuple):
    """One operation of a step and the call that launched it; times in ns on the run's clock."""

    stream: int  # index into STREAMS
    kind: OperationKind
    name: str
    call: str
    call_start: int
    call_end: int
    start: int
    end: int
    bytes: int
    flops: float


class Ticket(Protocol):
    """A step in flight."""

    @property
    def operations(self) -> Sequence[DeviceOperation]:
        """Return what the step ran; complete once `wait` has returned."""

    def wait(self) -> Int32:
        """Block until the step's tokens are in host memory.

        Returns them, (s,) in the order of `Batch.sampled`.
        """


class Device(Protocol):
    """A device that runs steps in the order of their submission."""

    @property
    def kind(self) -> str:
        """Return "cuda", "cpu" or "modelled"."""

    @property
    def name(self) -> str:
        """Return what the device is called in reports."""

    @property
    def measured(self) -> bool:
        """Return False where its times come from a model."""

    @property
    def clock(self) -> Clock:
        """Return the clock that the run is timed by."""

    def open(self, shape: Shape, slots: int) -> list[Slot]:
        """Allocate so many slots, on both sides, and the KV cache."""

    def begin(self) -> None:
        """Begin the run: the clock is at 0 now, and steps before were only to warm up."""

    def submit(self, slot: Slot, batch: Batch) -> Ticket:
        """Issue a step whose inputs stand in the slot.

        H2D, then compute, then D2H, each after the one before. The tokens of the step before stay
        on the device, where carry-over indices read them.
        """

    def busy_ns(self) -> int:
        """Return the compute time of the run's steps so far."""

    def notes(self) -> Sequence[str]:
        """Return what the user should know of the steps that were run, in sentences."""

    def close(self) -> None:
        """Free everything; steps in flight are drained first."""
