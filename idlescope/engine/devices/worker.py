"""The process behind the CPU device: three threads with a queue each, as a GPU has streams.

A process, not a thread, because two threads of one Python hardly overlap. It reads commands from a
socket until that closes, which it does when the parent dies; it holds the shared slots by an open
file without a name. Neither can leak.

    python -m idlescope.engine.devices.worker SOCKET MEMORY

SOCKET and MEMORY are numbers of inherited file descriptors.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from struct import Struct

import msgspec
import numpy as np

from idlescope.engine.devices.base import D2H, STREAMS
from idlescope.engine.network.network import Network
from idlescope.engine.running_rows import Shape
from idlescope.engine.slots import WORD_BYTES, Slot, SlotLayout
from idlescope.errors import IdlescopeError

# stream, slot, the stream whose event of that slot it waits for or NO_EVENT, words to move
COMMAND = Struct("<bbbi")
NO_EVENT = -1
# The answer when a step's copy out has ended: a zero byte, then start and end of each stream's
# operation, in the order of STREAMS, on time.perf_counter_ns. An answer that begins otherwise is
# FAILURE and what went wrong.
TIMES = Struct("<x6q")
FAILURE = b"!"

Operation = Callable[[], None]


@dataclass(frozen=True)
class Setup:
    """The first message: what to run, on which slots."""

    network: Network
    shape: Shape
    slots: int
    cores: tuple[int, ...]  # to run on; none: wherever the system likes

    def to_json(self) -> bytes:
        """Return it as it is sent."""
        return msgspec.json.encode(self, enc_hook=str)

    @classmethod
    def from_json(cls, sent: bytes) -> Setup:
        """Return what was sent. Raises msgspec.MsgspecError where that is none."""
        return msgspec.json.decode(sent, type=cls, dec_hook=_path)


class Started(msgspec.Struct):
    """The answer to it: what keeps the worker from starting, "" where nothing does."""

    problem: str = ""
    of_user: bool = False  # who can put it right

    def to_json(self) -> bytes:
        """Return it as it is sent."""
        return msgspec.json.encode(self)


def _path(kind: type, text: str) -> Path:
    if kind is not Path:
        raise NotImplementedError(kind)
    return Path(text)


def shared_slots(memory: mmap.mmap, shape: Shape, slots: int) -> list[Slot]:
    """Return views of the slots in shared memory: inputs and output of each, in a row."""
    slot_words = SlotLayout.of(shape).words
    buffers = np.frombuffer(memory, np.int32).reshape(slots, slot_words + shape.rows)
    return [Slot(shape, buffer[:slot_words], buffer[slot_words:]) for buffer in buffers]


def shared_bytes(shape: Shape, slots: int) -> int:
    """Return how much memory the slots share."""
    return WORD_BYTES * slots * (SlotLayout.of(shape).words + shape.rows)


class Worker:
    """Runs the commands of one parent."""

    def __init__(self, setup: Setup, memory: mmap.mmap, link: Connection) -> None:
        self.link = link
        self.slots = shared_slots(memory, setup.shape, setup.slots)

        # the device's side of the slots, whose buffers the network reads and writes
        self.forward = setup.network.load(setup.shape, setup.slots)
        buffers = zip(self.forward.inputs, self.forward.outputs, strict=True)
        self.device_slots = [
            Slot(
                setup.shape, inputs.numpy(), output.numpy()[1:]
            )  # output[0] is a static zero
            for inputs, output in buffers
        ]

        # by slot and stream: when its last operation ran, and the event of its end
        self.times = np.zeros((setup.slots, len(STREAMS), 2), np.int64)
        self.events: dict[tuple[int, int], threading.Event] = {}
        self.queues: list[SimpleQueue[Operation]] = []
        for _ in STREAMS:
            self._start_stream()

    def _start_stream(self) -> None:
        operation_queue: SimpleQueue[Operation] = SimpleQueue()
        self.queues.append(operation_queue)
        threading.Thread(target=self._run, args=(operation_queue,), daemon=True).start()

    def obey(self, command: bytes) -> None:
        """Queue an operation on its stream.

        The event that it waits for is the one that was recorded last.
        """
        stream, slot_index, waits_for, word_count = COMMAND.unpack(command)
        dependency = self.events.get((slot_index, waits_for))
        end_event = self.events[slot_index, stream] = threading.Event()
        operation = (self.copy_in, self.compute, self.copy_out)[stream]

        def run() -> None:
            if dependency is not None:
                dependency.wait()
            start_ns = time.perf_counter_ns()
            operation(slot_index, word_count)
            end = time.perf_counter_ns()
            self.times[slot_index, stream] = start_ns, end
            end_event.set()
            if stream == D2H:
                step_times = self.times[slot_index].ravel().tolist()
                self.link.send_bytes(TIMES.pack(*step_times))

        self.queues[stream].put(run)

    def copy_in(self, slot: int, words: int) -> None:
        """Move the used part of a slot's inputs to the device's side."""
        self.device_slots[slot].buffer[:words] = self.slots[slot].buffer[:words]

    def compute(self, slot: int, words: int) -> None:
        """Run the network on the device's side of a slot."""
        from idlescope.engine.network.attention import Plan

        inputs = self.device_slots[slot]
        row_count, _, sampled, _ = inputs.header.tolist()
        queries = np.diff(inputs.query_end[:row_count], prepend=0).tolist()
        contexts = inputs.context[:row_count].tolist()
        self.forward(slot, Plan(tuple(queries), tuple(contexts), sampled))

    def copy_out(self, slot: int, words: int) -> None:
        """Move the tokens of a step to the host's side."""
        self.slots[slot].output[:words] = self.device_slots[slot].output[:words]

    def _run(self, queue: SimpleQueue[Operation]) -> None:
        """Run a stream's operations in order; the first failure ends the process."""
        while True:
            operation = queue.get()
            try:
                operation()
            except BaseException as error:
                with suppress(OSError):  # the parent may be gone
                    failure = f"{type(error).__name__}: {error}"
                    self.link.send_bytes(FAILURE + failure.encode())
                os._exit(1)


def serve(link: Connection, memory: int, make: type[Worker]) -> None:
    """Take the setup, say what is wrong if anything is, and obey.

    Raises EOFError or OSError once the parent is gone.
    """
    worker_setup = Setup.from_json(link.recv_bytes())
    if worker_setup.cores:
        os.sched_setaffinity(0, worker_setup.cores)
    shared_size = shared_bytes(worker_setup.shape, worker_setup.slots)
    try:
        worker = make(worker_setup, mmap.mmap(memory, shared_size), link)
    except IdlescopeError as error:
        link.send_bytes(Started(str(error), of_user=True).to_json())
        return
    except (MemoryError, ImportError, RuntimeError) as error:
        link.send_bytes(Started(f"{type(error).__name__}: {error}").to_json())
        return
    link.send_bytes(Started().to_json())
    while True:
        worker.obey(link.recv_bytes())


def main(make: type[Worker] = Worker) -> None:
    """Serve the parent until it closes the socket."""
    try:
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]), make)
    except (EOFError, OSError):
        os._exit(0)  # at once: whatever still runs is for nobody


if __name__ == "__main__":
    main()
