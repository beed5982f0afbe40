"""Workers of the CPU device that are forked from a process which has imported torch, and done nothing else.

To import it takes seconds of every worker. What a worker does is the same, and it is a process of
its own, as in use: it is killed, dies and is waited for as such.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from unittest.mock import patch

from idlescope.engine.devices.cpu import CpuDevice

WORKER = "idlescope.engine.devices.worker"
PRELOADED = [
    WORKER,
    "idlescope.engine.network.attention",
    "idlescope.engine.network.forward",
]
SPAWN_AS_IN_USE = CpuDevice._spawn
FORK_SERVER = get_context("forkserver")
FORK_SERVER.set_forkserver_preload([*PRELOADED, "torch"])


def run(module: str, socket: Connection, memory: Connection) -> None:
    """Be a worker, by a module's `main`, that has inherited these two file descriptors."""
    os.setsid()
    sys.argv[1:] = [str(socket.fileno()), str(memory.fileno())]
    import_module(module).main()


class ForkedWorker:
    """As much of `subprocess.Popen` as the CPU device asks for."""

    def __init__(self, module: str, socket: int, memory: int) -> None:
        # a Connection is what multiprocessing can send to a child, whatever its file is
        files = [Connection(os.dup(file)) for file in (socket, memory)]
        self._process = FORK_SERVER.Process(target=run, args=(module, *files), daemon=True)
        self._process.start()
        self.pid = self._process.pid
        for file in files:
            file.close()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()


def spawn(
    device: CpuDevice, socket: int, memory: int, module: str = WORKER
) -> ForkedWorker:
    """Start a worker in place of `CpuDevice._spawn`."""
    # which the server has from this process, when it is started for the first worker
    threads = str(device.threads)
    with patch.dict(os.environ, OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads):
        return ForkedWorker(module, socket, memory)
