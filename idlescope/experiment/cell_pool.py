"""Run cells in processes of their own, side by side.

A worker is one child process (children/start.py) that is given one configuration after the other,
as JSON, and returns cells. One that dies fails the cell that it ran and no other: the next takes
its place.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from queue import Empty, SimpleQueue

from idlescope.children.start import command
from idlescope.experiment.cells import Cell, CellState
from idlescope.experiment.config import RunConfig

CHILD = "idlescope.experiment.cell_child"
KILLED = "its process was ended from outside, perhaps for want of memory: run it again"


class CellPool:
    """So many workers, and the configurations that none of them has taken yet."""

    def __init__(self, configs: Sequence[RunConfig], jobs: int) -> None:
        self.workers: set[subprocess.Popen[bytes]] = set()
        self._waiting: SimpleQueue[RunConfig] = SimpleQueue()
        for config in configs:
            self._waiting.put(config)
        self._ended: SimpleQueue[Cell | BaseException] = SimpleQueue()
        self._count = len(configs)
        self._is_closed = False
        self._lock = threading.Lock()  # of the workers
        for _ in range(jobs):
            first_worker = self._start()
            threading.Thread(target=self._work, args=(first_worker,), daemon=True).start()

    def cells(self) -> Iterator[Cell]:
        """Yield the cells as they end."""
        for _ in range(self._count):
            ended = self._ended.get()
            if isinstance(ended, BaseException):
                raise ended
            yield ended

    def close(self) -> None:
        """End the workers, whatever they are at."""
        with self._lock:
            self._is_closed = True
            workers = list(self.workers)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()

    def _work(self, worker: subprocess.Popen[bytes]) -> None:
        """Let one worker after the other, as each dies, run what waits."""
        try:
            self._use(worker)
            while not self._waiting.empty() and not self._is_closed:
                self._use(self._start())
        except BaseException as error:
            self._ended.put(error)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            worker = subprocess.Popen(  # noqa: S603 - our own module
                command(CHILD),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
            self.workers.add(worker)
            if self._is_closed:
                worker.terminate()
        return worker

    def _use(self, worker: subprocess.Popen[bytes]) -> None:
        """Give a worker one configuration after the other, until there is none or it dies."""
        try:
            while worker.poll() is None and not self._is_closed:
                self._ended.put(_measured(worker, self._waiting.get_nowait()))
        except Empty:
            pass
        with suppress(OSError), worker:  # its pipes are closed, which ends it
            pass
        worker.wait()
        with self._lock:
            self.workers.discard(worker)


def _measured(worker: subprocess.Popen[bytes], config: RunConfig) -> Cell:
    """Return a cell that a worker ran; a failed one where the worker died."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(json.dumps(asdict(config)).encode() + b"\n")
        worker.stdin.flush()
        answer = json.loads(worker.stdout.readline())
    except (OSError, ValueError):
        with suppress(OSError):
            worker.kill()
        return Cell(config, CellState.FAILED, KILLED, None)
    return Cell(config, CellState(answer["state"]), answer["reason"], answer["summary"])
