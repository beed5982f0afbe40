"""Make forward-pass metrics as NVIDIA Dynamo writes them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

WHEN_MS = 1_782_777_601_250


def record(
    number: int,
    wall_time: float = 0.025,
    mode: str = "full",
    worker: str = "4192",
    rank: int = 0,
    **fpm: Any,
) -> dict[str, Any]:
    """Return the line of a pass, one each 30 ms."""
    scheduled = {
        "num_prefill_requests": 2,
        "sum_prefill_tokens": 256,
        "num_decode_requests": 3,
    }
    return {
        "timestamp": 1250 + number,
        "event": {
            "schema": "dynamo.fpm.trace.v1",
            "source": {"namespace": "default", "component": "backend", "producer_id": worker},
            "capture_mode": mode,
            "observed_at_unix_ms": WHEN_MS + 30 * number,
            "fpm": {
                "version": 1, "worker_id": worker, "dp_rank": rank, "counter_id": 40 + number, "wall_time": wall_time,
                "scheduled_requests": scheduled, "queued_requests": {"num_prefill_requests": 1}, **fpm,
            },
        },
    }  # fmt: skip


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write lines, packed where the name says so."""
    text = "".join(json.dumps(one) + "\n" for one in records).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
