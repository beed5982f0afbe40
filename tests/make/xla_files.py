"""Make XLA profiles of known content: `.xplane.pb` and the JSON beside it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from tests.make import protobuf
from tests.make.known_work import COPY, OPERATOR, SET, TO_DEVICE, TO_HOST, Known, Work

NAMES = {TO_HOST: "Memcpy DtoH", TO_DEVICE: "Memcpy HtoD"}  # what they are read as
WRITTEN = {"Memcpy DtoH": "MemcpyD2H", "Memcpy HtoD": "MemcpyH2D"}
LINE_NS = 711_141  # of every line; events are relative to it
PROCESS = 19084


class Plane:
    """A plane, with the ids of its names."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[str, list[Any]] = {}
        self.events: dict[str, int] = {}
        self.statistics: dict[str, int] = {}

    def add(
        self, line: str, name: str, start: int, end: int, statistics: dict[str, Any]
    ) -> None:
        self.lines.setdefault(line, []).append((name, start, end, statistics))

    def _statistic(self, name: str, value: Any) -> list[tuple[int, Any]]:
        key = self.statistics.setdefault(name, len(self.statistics) + 1)
        if isinstance(value, str) and name == "hlo_op":  # texts that repeat are references
            return [
                (1, key),
                (7, self.statistics.setdefault(value, len(self.statistics) + 1)),
            ]
        return [(1, key), (5 if isinstance(value, str) else 3, value)]

    def encoded(self, said: dict[str, Any]) -> list[tuple[int, Any]]:
        lines = []
        for number, (line, events) in enumerate(self.lines.items()):
            made: list[tuple[int, Any]] = [(1, number), (2, line), (3, LINE_NS)]
            for name, start, end, statistics in events:
                key = self.events.setdefault(name, len(self.events) + 1)
                fields = [
                    (1, key),
                    (2, (start - LINE_NS) * 1000),
                    (3, (end - start) * 1000),
                ]
                fields += [
                    (4, self._statistic(*statistic)) for statistic in statistics.items()
                ]
                made.append((4, fields))
            lines.append((3, made))
        own = [(6, self._statistic(*statistic)) for statistic in said.items()]
        names = [
            (4, [(1, key), (2, [(1, key), (2, name)])]) for name, key in self.events.items()
        ]
        names += [
            (5, [(1, key), (2, [(1, key), (2, name)])])
            for name, key in self.statistics.items()
        ]
        return [(2, self.name), *lines, *names, *own]


def planes(known: Known) -> list[Plane]:
    """Return what a process did as planes."""
    host = Plane("/host:CPU")
    for call in known.calls:
        host.add(
            _thread(call.thread),
            call.name,
            call.start,
            call.end,
            {"correlation_id": call.launch},
        )
    for number, span in enumerate(known.spans):
        said: dict[str, Any] = {"hlo_op": "fusion.1"} if span.kind == OPERATOR else {}
        if span.name == "decode":
            said = {"step_num": number}
        host.add(_thread(span.thread), span.name, span.start, span.end, said)
    made = [host]
    for device in sorted({work.device for work in known.work}):
        plane = Plane(f"/device:GPU:{device}")
        for work in known.work:
            if work.device == device:
                stream = f"Stream #{work.stream}(Kernel,MemcpyD2H)"
                name = WRITTEN.get(work.name, work.name)
                plane.add(stream, name, work.start, work.end, _details(work))
                plane.add("XLA Ops", name, work.start, work.end, {})  # derived
        made.append(plane)
    return made


def _details(work: Work) -> dict[str, Any]:
    said: dict[str, Any] = {"correlation_id": work.launch} if work.launch else {}
    if work.kind == COPY:
        return said | {
            "memcpy_details": f"kind_src:host kind_dst:device size:{work.bytes} dest:0 async:1"
        }
    return said | (
        {"Memset_details": "kind:Device"}
        if work.kind == SET
        else {"kernel_details": "regs:32"}
    )


def _thread(thread: int) -> str:
    return f"python/{thread}"


def space(known: Known, epoch: int = 1_771_595_650_217_823_548) -> bytes:
    """Return what a process did as an XSpace message."""
    environment = Plane("Task Environment")
    encoded = []
    for plane in planes(known):
        said = (
            {"device_type_string": "NVIDIA H200"}
            if plane.name.startswith("/device")
            else {"process_id": PROCESS}
        )
        encoded.append((1, plane.encoded(said)))
    encoded.append((1, environment.encoded({"profile_start_time": epoch})))
    return protobuf.message([*encoded, (4, "host")])


def xplane(path: Path, known: Known) -> Path:
    path.write_bytes(space(known))
    return path


def document(known: Known) -> dict[str, Any]:
    """Return the same as XLA's JSON."""
    events: list[dict[str, Any]] = []
    for pid, plane in enumerate(planes(known), 1):
        events.append(
            {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": plane.name}}
        )
        for tid, (line, rows) in enumerate(plane.lines.items(), 1):
            events.append(
                {
                    "ph": "M",
                    "pid": pid,
                    "tid": tid,
                    "name": "thread_name",
                    "args": {"name": line},
                }
            )
            for name, start, end, statistics in rows:
                arguments = {key: str(value) for key, value in statistics.items()}
                event = {
                    "ph": "X",
                    "pid": pid,
                    "tid": tid,
                    "name": name,
                    "ts": start / 1000,
                    "dur": (end - start) / 1000,
                }
                events.append(event | ({"args": arguments} if arguments else {}))
    return {
        "displayTimeUnit": "ns",
        "metadata": {"highres-ticks": True},
        "traceEvents": [*events, {}],
    }


def trace_json(path: Path, known: Known) -> Path:
    content = json.dumps(document(known)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
