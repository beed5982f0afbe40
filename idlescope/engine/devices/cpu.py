"""The CPU as the device: the network in a worker process with cores of its own.

It really runs beside the host, and what it takes is measured.
"""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO

import msgspec

from idlescope.children.start import command
from idlescope.engine.devices.streamed import Names, Span, StreamedDevice
from idlescope.engine.devices.worker import (
    COMMAND,
    FAILURE,
    NO_EVENT,
    TIMES,
    Setup,
    Started,
    shared_bytes,
    shared_slots,
)
from idlescope.engine.network.network import Network
from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Batch
from idlescope.engine.slots import Slot
from idlescope.errors import ConfigError, EngineError
from idlescope.trace.model import OperationKind

STOP_S = 5.0  # how long a worker is given to notice that the socket is closed


def worker_cores() -> tuple[int, ...]:
    """Return the cores for the worker: all that this process may use but one, which is the host's.

    None where the system cannot say or there is only one.
    """
    if not hasattr(os, "sched_setaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0))[1:])


def nameless_file() -> IO[bytes]:
    """Return a file without a name: it is gone when the last process that has it open is.

    In memory where the system can.
    """
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("idlescope"), "r+b")
    return tempfile.TemporaryFile()


class CpuDevice(StreamedDevice):
    """Implements `Device`. The parent never imports torch."""

    kind = "cpu"
    names = (
        Names(OperationKind.MEMCPY, "copy in", "submit copy in"),
        Names(OperationKind.KERNEL, "forward", "submit forward"),
        Names(OperationKind.MEMCPY, "copy out", "submit copy out"),
    )

    def __init__(self, network: Network, host_ns: int | None = None) -> None:
        super().__init__(network.model, host_ns)
        self.network = network
        self.cores = worker_cores()
        self.threads = len(self.cores) or max(1, (os.cpu_count() or 1) - 1)
        plural = "s" if self.threads > 1 else ""
        self.name = f"CPU worker process, {self.threads} thread{plural}"
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Connection | None = None

    def _start(self, shape: Shape, slots: int) -> list[Slot]:
        if sys.platform == "win32":
            raise ConfigError("--device cpu needs Linux or macOS: use --device modelled")
        self._link, workers_end = Pipe()
        with workers_end, nameless_file() as shared_file:
            file_bytes = shared_bytes(shape, slots)
            shared_file.truncate(file_bytes)
            memory = mmap.mmap(shared_file.fileno(), file_bytes)
            self._process = self._spawn(workers_end.fileno(), shared_file.fileno())
        try:
            setup = Setup(self.network, shape, slots, self.cores)
            self._link.send_bytes(setup.to_json())
            started = msgspec.json.decode(self._link.recv_bytes(), type=Started)
        except (EOFError, OSError, msgspec.MsgspecError):
            raise self._death() from None
        if started.of_user:
            raise ConfigError(started.problem)
        if started.problem:
            raise EngineError(f"the CPU worker could not start: {started.problem}")
        return shared_slots(memory, shape, slots)

    def _program(self) -> list[str]:
        """Return the command of the worker, less its arguments."""
        return command("idlescope.engine.devices.worker")

    def _spawn(self, socket: int, memory: int) -> subprocess.Popen[bytes]:
        """Start the worker, which inherits these two file descriptors."""
        threads = str(self.threads)
        return subprocess.Popen(  # noqa: S603 - our own module
            [*self._program(), str(socket), str(memory)],
            pass_fds=(socket, memory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )

    def _issue(self, stream: int, waits_for: int | None, slot: int, batch: Batch) -> None:
        used_words = (self._slots[slot].used_words(batch.tokens), 0, batch.sampled.size)[
            stream
        ]
        awaited_event = NO_EVENT if waits_for is None else waits_for
        assert self._link is not None
        try:
            self._link.send_bytes(COMMAND.pack(stream, slot, awaited_event, used_words))
        except OSError:
            raise self._death() from None

    def _wait(self, slot: int) -> Sequence[Span]:
        assert self._link is not None
        try:
            message = self._link.recv_bytes()
        except (EOFError, OSError):
            raise self._death() from None
        if message.startswith(FAILURE):
            raise EngineError(
                f"the CPU worker failed: {message.removeprefix(FAILURE).decode()}"
            )
        event_times = [self.clock.at(event_ns) for event_ns in TIMES.unpack(message)]
        return list(zip(event_times[::2], event_times[1::2], strict=True))

    def _death(self) -> EngineError:
        """Return what to say of a worker that is gone."""
        assert self._process is not None
        try:
            exit_code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return EngineError("the CPU worker closed its socket and hangs: it is killed")
        how_ended = (
            f"killed by {signal.Signals(-exit_code).name}"
            if exit_code < 0
            else f"exit code {exit_code}"
        )
        memory_hint = ""
        if exit_code == -signal.SIGKILL:
            memory_hint = (
                "; memory may have run out: give fewer --kv-blocks or a smaller model"
            )
        return EngineError(f"the CPU worker died ({how_ended}){memory_hint}")

    def _stop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is not None:
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
