"""Which processes and GPUs the ids of a rocpd database stand for."""

from __future__ import annotations

from typing import NamedTuple

from idlescope.trace.gathered import Gathered, Gpu
from idlescope.trace.rocprof.database import Database


class Agent(NamedTuple):
    """One processor, as rocpd_info_agent describes it."""

    is_gpu: bool
    number: int  # among processors of its type
    gpu: Gpu


class Machine:
    """The processes, threads and agents of one process's tables."""

    def __init__(self, database: Database, gathered: Gathered, process_suffix: str) -> None:
        self._gathered = gathered
        self._suffix = process_suffix
        self._pids = _first_of(database, "rocpd_info_process", "pid")
        self._tids = _first_of(database, "rocpd_info_thread", "tid")
        self._thread_names = _first_of(database, "rocpd_info_thread", "name")
        self._streams = _first_of(database, "rocpd_info_stream", "name")
        self._queues = _first_of(database, "rocpd_info_queue", "name")
        self.agents = _agents(database)

    def process(self, process_id: int) -> str:
        """Return what a process is called: its pid, which rows refer to by an id."""
        return f"{self._pids.get(process_id) or process_id}{self._suffix}"

    def thread(self, process_id: int, thread_id: int) -> tuple[str, str]:
        """Return a thread's process and what it is called."""
        pid = self._pids.get(process_id) or process_id
        tid = self._tids.get(thread_id) or thread_id
        name = self._thread_names.get(thread_id)
        return self.process(process_id), str(name or f"{pid}:{tid}")

    def gpu_of_copy(self, target: int, source: int) -> int | None:
        """Return the GPU that a copy goes to, else comes from; None for one within the host.

        An agent that is not described may be a GPU, where the other side is none.
        """
        sides = (target, source)
        known = [side for side in sides if side in self.agents and self.agents[side].is_gpu]
        unknown = [side for side in sides if side not in self.agents]
        return next(iter(known + unknown), None)

    def device(self, process_id: int, agent_id: int) -> tuple[str, int]:
        """Return the device that an agent is for a process, and keep what is said of it."""
        agent = self.agents.get(agent_id, Agent(True, max(agent_id, 0), Gpu()))
        key = self.process(process_id), agent.number
        self._gathered.gpus.setdefault(key, agent.gpu)
        return key

    def stream(self, stream_id: int, queue_id: int) -> str:
        """Return what a stream is called; where there is none, its hardware queue."""
        if stream_id >= 0:
            return str(self._streams.get(stream_id) or f"stream {stream_id}")
        if queue_id >= 0:
            return str(self._queues.get(queue_id) or f"queue {queue_id}")
        return "copies"


def _first_of(database: Database, table: str, column: str) -> dict[object, object]:
    """Return the values of a column by id."""
    return dict(
        reversed([(row[0], row[1]) for row in database.rows(table, ["id", column])])
    )


def _agents(database: Database) -> dict[object, Agent]:
    columns = ["id", "type", "type_index", "product_name", "name", "uuid"]
    agents: dict[object, Agent] = {}
    for agent_id, kind, index, product, name, uuid in database.rows(
        "rocpd_info_agent", columns
    ):
        identity = f"{uuid:#x}" if isinstance(uuid, int) and uuid else ""
        number = index if isinstance(index, int) and 0 <= index < 2**31 else 0
        agents[agent_id] = Agent(
            kind == "GPU", number, Gpu(str(product or name or ""), identity)
        )
    return agents
