"""Make results of rocprofv3 of known content: rocpd databases in the schemas of two ages, and JSON."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.make.known_work import COPY, KERNEL, TO_HOST, Known, Span, Work

UUID = "_00000a1b_2c3d_7e4f_8a9b_0c1d2e3f4a5b"
GUID = "00000a1b-2c3d-7e4f-8a9b-0c1d2e3f4a5b"

# share/rocprofiler-sdk-rocpd/rocpd_tables.sql: the columns of both ages, without keys and checks
SHARED = {
    "metadata": "id tag value",
    "string": "id guid string",
    "info_process": "id guid nid ppid pid name command",
    "info_thread": "id guid nid ppid pid tid name",
    "info_agent": "id guid nid pid type absolute_index logical_index type_index uuid name product_name",
    "info_queue": "id guid nid pid name",
    "info_stream": "id guid nid pid name",
    "info_kernel_symbol": "id guid nid pid code_object_id kernel_name display_name",
    "event": "id guid category_id stack_id parent_stack_id correlation_id extdata",
}
V3 = SHARED | {
    "region": "id guid nid pid tid start end name_id event_id extdata",
    "kernel_dispatch": "id guid nid pid tid agent_id kernel_id dispatch_id queue_id stream_id start end event_id",
    "memory_copy": "id guid nid pid tid start end name_id dst_agent_id src_agent_id size queue_id stream_id event_id",
}
V4 = SHARED | {
    "info_category": "id guid name",
    "track": "id guid nid ppid pid tid agent_id queue_id stream_id name_id",
    "timestamp": "id guid value phase track_id",
    "region": "id guid track_id name_id start_id end_id event_id extdata",
    "kernel_dispatch": "id guid track_id kernel_id dispatch_id start_id end_id event_id",
    "memory_copy": "id guid track_id start_id end_id name_id dst_agent_id src_agent_id size event_id",
}
FILL = "__amd_rocclr_fillBufferAligned"  # what hipMemset runs as
CPU_AGENT = 1  # ids of agents: the host's, then those of GPUs


def gpu_agent(device: int) -> int:
    return CPU_AGENT + 1 + device


class Database:
    """The tables of one process."""

    def __init__(self, path: Path, newer: bool, uuid: str = UUID) -> None:
        self.columns = V4 if newer else V3
        self.newer = newer
        self.uuid = uuid
        self.database = sqlite3.connect(path)
        self.strings: dict[str, int] = {}
        self.categories: dict[str, int] = {}
        self.tracks: dict[tuple[Any, ...], int] = {}
        for table, columns in self.columns.items():
            names = ", ".join(
                f'"{column}"'
                + (" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT" if column == "id" else "")
                for column in columns.split()
            )
            self.database.execute(f"CREATE TABLE `rocpd_{table}{uuid}` ({names})")
            view = f"CREATE VIEW IF NOT EXISTS `rocpd_{table}` AS SELECT * FROM `rocpd_{table}{uuid}`"  # noqa: S608
            self.database.execute(view)

    def add(self, table: str, **row: Any) -> int:
        columns = self.columns[table].split()
        row = {"guid": GUID, "nid": 1, **row}
        values = [row.get(column) for column in columns]
        places = ", ".join("?" * len(columns))
        statement = f"INSERT INTO `rocpd_{table}{self.uuid}` VALUES ({places})"  # noqa: S608
        return self.database.execute(statement, values).lastrowid or 0

    def text(self, string: str) -> int:
        if string not in self.strings:
            self.strings[string] = self.add("string", string=string)
        return self.strings[string]

    def category(self, name: str) -> int:
        if not self.newer:
            return self.text(name)
        if name not in self.categories:
            self.categories[name] = self.add("info_category", name=name)
        return self.categories[name]

    def event(self, category: str, stack: int, message: str = "") -> int:
        extension = json.dumps({"message": message}) if message else "{}"
        return self.add(
            "event", category_id=self.category(category), stack_id=stack, parent_stack_id=stack, correlation_id=0,
            extdata=extension,
        )  # fmt: skip

    def record(
        self, table: str, start: int, end: int, place: dict[str, int], **row: Any
    ) -> None:
        if not self.newer:
            self.add(table, start=start, end=end, **place, **row)
            return
        key = tuple(sorted(place.items()))
        if key not in self.tracks:
            self.tracks[key] = self.add("track", **place)
        track = self.tracks[key]
        times = {
            name: self.add("timestamp", value=value, phase=phase, track_id=track)
            for name, value, phase in (("start_id", start, 1), ("end_id", end, 2))
        }
        self.add(table, track_id=track, **times, **row)


def rocpd(
    path: Path, known: Known, pid: int = 908, newer: bool = False, uuid: str = UUID
) -> Path:
    """Write what a process did as a rocpd database, or add it to one, as merging does."""
    made = Database(path, newer, uuid)
    with closing(made.database) as connection, connection:
        process = made.add("info_process", pid=pid, command="python serve.py")
        threads = {
            thread: made.add("info_thread", pid=process, tid=thread)
            for thread in sorted({record.thread for record in (*known.calls, *known.spans)})
        }
        made.add(
            "info_agent",
            id=CPU_AGENT,
            pid=process,
            type="CPU",
            type_index=0,
            name="AMD EPYC",
        )
        for device in sorted({work.device for work in known.work}):
            made.add(
                "info_agent", id=gpu_agent(device), pid=process, type="GPU", type_index=device, uuid=0xA0 + device,
                name="gfx942", product_name="AMD Instinct MI300X",
            )  # fmt: skip
        symbols: dict[str, int] = {}
        for call in known.calls:
            event = made.event("HIP_RUNTIME_API", call.launch)
            place = {"pid": process, "tid": threads[call.thread]}
            made.record(
                "region",
                call.start,
                call.end,
                place,
                name_id=made.text(call.name),
                event_id=event,
            )
        for number, span in enumerate(known.spans):
            event = made.event("MARKER_CORE_RANGE_API", 10**6 + number, _message(span))
            place = {"pid": process, "tid": threads[span.thread]}
            made.record(
                "region",
                span.start,
                span.end,
                place,
                name_id=made.text("roctxRangePushA"),
                event_id=event,
            )
        for number, work in enumerate(known.work):
            if work.kind == COPY:
                place = {"pid": process, "stream_id": work.stream}
                made.record(
                    "memory_copy", work.start, work.end, place, name_id=made.text(_operation(work)), size=work.bytes,
                    event_id=made.event("MEMORY_COPY", work.launch), **_agents(work),
                )  # fmt: skip
                continue
            name = _kernel(work)
            if name not in symbols:
                symbols[name] = made.add(
                    "info_kernel_symbol", pid=process, code_object_id=1, kernel_name=f"{name}.kd", display_name=name
                )  # fmt: skip
            place = {
                "pid": process,
                "agent_id": gpu_agent(work.device),
                "queue_id": 1,
                "stream_id": work.stream,
            }
            made.record(
                "kernel_dispatch", work.start, work.end, place, kernel_id=symbols[name], dispatch_id=number + 1,
                event_id=made.event("KERNEL_DISPATCH", work.launch),
            )  # fmt: skip
    return path


def document(known: Known, pid: int = 908) -> dict[str, Any]:
    """Return what a process did as rocprofv3's JSON, one element of its list."""
    kinds = [
        "NONE",
        "HIP_RUNTIME_API",
        "MARKER_CORE_RANGE_API",
        "MEMORY_COPY",
        "KERNEL_DISPATCH",
    ]
    calls = sorted({call.name for call in known.calls})
    copies = [
        "MEMORY_COPY_NONE",
        "MEMORY_COPY_HOST_TO_DEVICE",
        "MEMORY_COPY_DEVICE_TO_HOST",
    ]
    operations = {
        "HIP_RUNTIME_API": calls,
        "MARKER_CORE_RANGE_API": ["roctxThreadRangeA"],
        "MEMORY_COPY": copies,
    }
    kernels = sorted({_kernel(work) for work in known.work if work.kind != COPY})

    def record(
        start: int, end: int, kind: str, operation: int, correlation: int, thread: int
    ) -> dict[str, Any]:
        return {
            "size": 184, "kind": kinds.index(kind), "operation": operation, "thread_id": thread,
            "correlation_id": {"internal": correlation, "external": 0}, "start_timestamp": start, "end_timestamp": end,
        }  # fmt: skip

    def of_kernel(work: Work) -> dict[str, Any]:
        where = {
            "agent_id": {"handle": 900 + gpu_agent(work.device)}, "queue_id": {"handle": 4},
            "kernel_id": kernels.index(_kernel(work)) + 1, "workgroup_size": {"x": 512, "y": 1, "z": 1},
        }  # fmt: skip
        said = record(work.start, work.end, "KERNEL_DISPATCH", 2, work.launch, 51)
        return said | {"dispatch_info": where, "stream_id": {"handle": work.stream}}

    def of_copy(work: Work) -> dict[str, Any]:
        said = record(
            work.start,
            work.end,
            "MEMORY_COPY",
            copies.index(_operation(work)),
            work.launch,
            51,
        )
        agents = {name: {"handle": 900 + agent} for name, agent in _agents(work).items()}
        return said | agents | {"bytes": work.bytes, "stream_id": {"handle": work.stream}}

    agents = [
        {
            "id": {"handle": 900 + CPU_AGENT},
            "type": 1,
            "logical_node_type_id": 0,
            "product_name": "AMD EPYC",
        }
    ]
    agents += [
        {"id": {"handle": 900 + gpu_agent(device)}, "type": 2, "logical_node_type_id": device,
         "product_name": "AMD Instinct MI300X", "name": "gfx942", "gpu_id": 12605 + device}
        for device in sorted({work.device for work in known.work})
    ]  # fmt: skip
    return {
        "metadata": {"node": {"hostname": "host"}, "pid": pid, "init_time": 1, "command": ["python"]},
        "agents": agents,
        "strings": {
            "buffer_records": [{"kind": kind, "operations": operations.get(kind, [])} for kind in kinds],
            "marker_api": [
                {"key": 10**6 + number, "value": _message(span)} for number, span in enumerate(known.spans)
            ],
        },
        "kernel_symbols": [
            {"kernel_id": number + 1, "kernel_name": f"{name}.kd", "formatted_kernel_name": name}
            for number, name in enumerate(kernels)
        ],
        "buffer_records": {
            "kernel_dispatch": [of_kernel(work) for work in known.work if work.kind != COPY],
            "hip_api": [
                record(call.start, call.end, "HIP_RUNTIME_API", calls.index(call.name), call.launch, call.thread)
                for call in known.calls
            ],
            "hsa_api": [],
            "marker_api": [
                record(span.start, span.end, "MARKER_CORE_RANGE_API", 0, 10**6 + number, span.thread)
                for number, span in enumerate(known.spans)
            ],
            "memory_copy": [of_copy(work) for work in known.work if work.kind == COPY],
        },
    }  # fmt: skip


def json_file(path: Path, *processes: dict[str, Any]) -> Path:
    """Write JSON of some processes."""
    path.write_text(json.dumps({"rocprofiler-sdk-tool": list(processes)}))
    return path


def _message(span: Span) -> str:
    return f"{span.name}, seq = 3" if span.name.startswith("aten::") else span.name


def _kernel(work: Work) -> str:
    return work.name if work.kind == KERNEL else FILL


def _operation(work: Work) -> str:
    return f"MEMORY_COPY_{'DEVICE_TO_HOST' if work.name == TO_HOST else 'HOST_TO_DEVICE'}"


def _agents(work: Work) -> dict[str, int]:
    gpu = gpu_agent(work.device)
    target, source = (CPU_AGENT, gpu) if work.name == TO_HOST else (gpu, CPU_AGENT)
    return {"dst_agent_id": target, "src_agent_id": source}
