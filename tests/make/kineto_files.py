"""Make Kineto files of known content, in the layouts that profilers write."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace

OPERATION = {"kernel": "kernel", "memcpy": "gpu_memcpy", "memset": "gpu_memset"}


def us(ns: int) -> float:
    """Microseconds as a profiler writes them: three decimals."""
    return float(f"{ns // 1000}.{ns % 1000:03d}")


def operation(
    start: int,
    end: int,
    kind: str = "kernel",
    correlation: int = 0,
    device: int = 0,
    stream: Any = 7,
    name: str = "k",
) -> dict[str, Any]:
    args = {
        "device": device,
        "stream": stream,
        "correlation": correlation,
        "grid": [1, 1, 1],
        "nested": [{"a": 1}, {}],
    }
    return {
        "ph": "X",
        "cat": OPERATION[kind],
        "name": name,
        "pid": device,
        "tid": stream,
        "ts": us(start),
        "dur": us(end - start),
        "args": args,
    }


def call(
    start: int, end: int, correlation: int, name: str = "cudaLaunchKernel", tid: int = 100
) -> dict[str, Any]:
    return {
        "ph": "X",
        "cat": "cuda_runtime",
        "name": name,
        "pid": 50,
        "tid": tid,
        "ts": us(start),
        "dur": us(end - start),
        "args": {"correlation": correlation, "cbid": 211},
    }


def span(
    start: int, end: int, name: str, cat: str = "user_annotation", tid: int = 100
) -> dict[str, Any]:
    return {
        "ph": "X",
        "cat": cat,
        "name": name,
        "pid": 50,
        "tid": tid,
        "ts": us(start),
        "dur": us(end - start),
        "args": {},
    }


def document(events: list[dict[str, Any]], **metadata: Any) -> dict[str, Any]:
    devices = [{"id": 0, "name": "Test GPU"}, {"id": 1, "name": "Other GPU"}]
    return {
        "schemaVersion": 1,
        "deviceProperties": devices,
        "traceEvents": events,
        "traceName": "t",
        **metadata,
    }


def write(
    path: Path, events: list[dict[str, Any]], indent: int | None = None, array: bool = False
) -> Path:
    text = json.dumps(events if array else document(events), indent=indent).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def read_text(folder: Path, text: bytes | str, name: str = "t.json") -> Trace:
    """Return the Trace in a file of this content."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_trace(path)
