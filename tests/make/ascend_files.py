"""Make `trace_view.json` files of Ascend's profiler of known content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.make.known_work import COPY, OPERATOR, Known

PYTHON, CANN, OVERLAP, HARDWARE = 2_287_318, 228_731_802, 228_731_700, 228_731_900
NAMES = {"hipLaunchKernel": "Node@launch", "hipMemcpyAsync": "Node@launch", "hipMemsetAsync": "Node@launch",
         "hipStreamSynchronize": "AscendCL@aclrtSynchronizeStream"}  # fmt: skip


def us(ns: int) -> str:
    """A time as the profiler writes it."""
    return f"{ns // 1000}.{ns % 1000:03d}"


def of_npu(known: Known) -> Known:
    """Return the same program on NPUs: what CUDA and HIP call memsets are kernels."""
    work = [one._replace(kind=one.kind if one.kind == COPY else 0) for one in known.work]  # type: ignore[arg-type]
    calls = [call._replace(name=NAMES[call.name]) for call in known.calls]
    return Known(work, calls, known.spans)


def _name(
    kind: str, pid: int, name: str, tid: int = 0, key: str = "name"
) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {key: name}}


def events(known: Known, arrows: bool = False) -> list[dict[str, Any]]:
    """Return what a process did; with `arrows`, launches and tasks are linked by them alone."""
    made = [_name("process_name", PYTHON, "Python"), _name("process_name", CANN, "CANN"),
            _name("process_name", OVERLAP, "Overlap Analysis")]  # fmt: skip
    for device in sorted({work.device for work in known.work}):
        made.append(_name("process_name", HARDWARE + device, "Ascend Hardware"))
        made.append(
            _name("process_labels", HARDWARE + device, f"NPU {device}", key="labels")
        )
        made.append(_name("thread_name", HARDWARE + device, "Stream 1", 1))

    def complete(
        name: str, start: int, end: int, pid: int, tid: int, **more: Any
    ) -> dict[str, Any]:
        return {
            "ph": "X",
            "name": name,
            "pid": pid,
            "tid": tid,
            "ts": us(start),
            "dur": (end - start) / 1000,
            **more,
        }

    def arrow(phase: str, time: int, pid: int, tid: int, number: int) -> dict[str, Any]:
        return {
            "ph": phase,
            "cat": "HostToDevice",
            "name": f"HostToDevice{number}",
            "id": str(number),
            "pid": pid,
            "tid": tid,
            "ts": us(time),
        }

    launched = {work.launch for work in known.work}
    for call in known.calls:
        linked = (
            {"connection_id": call.launch} if call.launch in launched and not arrows else {}
        )
        made.append(
            complete(
                call.name,
                call.start,
                call.end,
                CANN,
                call.thread,
                args={"Mode": "launch", **linked},
            )
        )
        if arrows and call.launch in launched:
            made.append(arrow("s", call.start, CANN, call.thread, call.launch))
    for span in known.spans:
        category = "cpu_op" if span.kind == OPERATOR else "user_annotation"
        made.append(
            complete(
                span.name, span.start, span.end, PYTHON, span.thread, cat=category, args={}
            )
        )
    for work in known.work:
        said = {
            "Task Type": "MEMCPY_ASYNC" if work.kind == COPY else "AI_CORE",
            "Stream Id": work.stream,
        }
        if work.bytes:
            said["size(B)"] = work.bytes
        if not arrows:
            said["connection_id"] = work.launch or 2**32 - 1
        place = HARDWARE + work.device, work.stream
        made.append(complete(work.name, work.start, work.end, *place, args=said))
        made.append(complete("Computing", work.start, work.end, OVERLAP, 1))
        if arrows:
            made.append(arrow("f", work.start, *place, work.launch))
    return made


def write(path: Path, made: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(made))
    return path
