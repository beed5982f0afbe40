"""Write a synthetic Nsight Systems export of any size: one process, one launch call a kernel.

    python tests/benchmarks/nsys_database.py OUT.sqlite [KERNELS]

Tables and columns are those of nsys 2026. Kernels of four streams follow each other on one GPU that
waits a known time before each of them (see `idle_ns`); a step of a hundred kernels is an NVTX range
around its launches.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

PROCESS = (1 << 48) | (4000 << 24)  # globalPid
THREAD = PROCESS | 4001
BASE = 155_357_525_002  # ns
PERIOD, GAP = 9_000, 1_003  # ns from kernel to kernel, and idle before each
AHEAD, CALL = 40_000, 3_500  # ns from the launch call to the kernel, and in the call
STREAMS, NAMES, PER_STEP = 4, 60, 100

SCHEMA = """
CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE META_DATA_EXPORT (name TEXT NOT NULL, value TEXT);
CREATE TABLE PROCESSES (globalPid INTEGER, pid INTEGER, name TEXT);
CREATE TABLE ThreadNames (nameId INTEGER NOT NULL, priority INTEGER, globalTid INTEGER);
CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (
    start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL, contextId INTEGER NOT NULL,
    greenContextId INTEGER, streamId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER,
    demangledName INTEGER NOT NULL, shortName INTEGER NOT NULL, mangledName INTEGER, launchType INTEGER,
    cacheConfig INTEGER, registersPerThread INTEGER NOT NULL, gridX INTEGER NOT NULL, gridY INTEGER NOT NULL,
    gridZ INTEGER NOT NULL, blockX INTEGER NOT NULL, blockY INTEGER NOT NULL, blockZ INTEGER NOT NULL,
    staticSharedMemory INTEGER NOT NULL, dynamicSharedMemory INTEGER NOT NULL, localMemoryPerThread INTEGER NOT NULL,
    localMemoryTotal INTEGER NOT NULL, gridId INTEGER NOT NULL, sharedMemoryExecuted INTEGER, graphNodeId INTEGER,
    sharedMemoryLimitConfig INTEGER, qmdBulkReleaseDone INTEGER, qmdPreexitDone INTEGER, qmdLastCtaDone INTEGER,
    graphId INTEGER, clusterX INTEGER, clusterY INTEGER, clusterZ INTEGER, clusterSchedulingPolicy INTEGER,
    maxPotentialClusterSize INTEGER, maxActiveClusters INTEGER, sharedMemoryRequestedPercentage INTEGER,
    tensorSizeMinusOneElements TEXT NOT NULL);
CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (
    start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER NOT NULL, globalTid INTEGER,
    correlationId INTEGER, nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL, callchainId INTEGER);
CREATE TABLE NVTX_EVENTS (
    start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, rangeId INTEGER, category INTEGER, color INTEGER,
    text TEXT, globalTid INTEGER, endGlobalTid INTEGER, textId INTEGER, domainId INTEGER, uint64Value INTEGER,
    int64Value INTEGER, doubleValue REAL, uint32Value INTEGER, int32Value INTEGER, floatValue REAL,
    jsonTextId INTEGER, jsonText TEXT, binaryData TEXT);
"""
KERNEL = (
    "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (?1, ?2, 0, 1, 0, ?3, ?4, ?5, ?6, ?6 + 1, NULL, 1, NULL, 32, 18, "
    "93600, 1, 128, 1, 1, 0, 0, 0, 250871808, ?4, 32768, NULL, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 1, 0, 0, NULL, '[]')"
)


def idle_ns(kernels: int) -> int:
    """Return the idle time of a database of so many kernels."""
    return (kernels - 1) * GAP


def make(path: Path, kernels: int = 1_000_000) -> Path:
    """Write a database of so many kernels and as many calls; a file in its place is replaced."""
    path.unlink(missing_ok=True)
    steps = -(-kernels // PER_STEP)
    strings = [
        (1, "cudaLaunchKernel_v7000"),
        (2, "python3"),
        *((100 + s, f"step {s}") for s in range(steps)),
    ]
    first = 100 + steps
    for k in range(NAMES):
        full = f"void at::native::elementwise_kernel_{k}<(int)128, (int)4, float>(int, float, float *)"
        strings += [(first + 2 * k, full), (first + 2 * k + 1, f"elementwise_kernel_{k}")]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(SCHEMA)
        database.executemany("INSERT INTO StringIds VALUES (?, ?)", strings)
        database.execute(
            "INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_SCHEMA_VERSION', '3.25.0')"
        )
        database.execute("INSERT INTO PROCESSES VALUES (?, 4000, 'python3')", (PROCESS,))
        database.execute("INSERT INTO ThreadNames VALUES (2, 20, ?)", (THREAD,))
        starts = range(BASE, BASE + kernels * PERIOD, PERIOD)
        database.executemany(
            KERNEL,
            (
                (
                    start,
                    start + PERIOD - GAP,
                    7 + i % STREAMS,
                    i + 1,
                    PROCESS,
                    first + 2 * (i % NAMES),
                )
                for i, start in enumerate(starts)
            ),
        )
        database.executemany(
            "INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (?, ?, 0, ?, ?, 1, 0, NULL)",
            (
                (start - AHEAD, start - AHEAD + CALL, THREAD, i + 1)
                for i, start in enumerate(starts)
            ),
        )
        database.executemany(
            "INSERT INTO NVTX_EVENTS (start, end, eventType, globalTid, textId, domainId) VALUES (?, ?, 59, ?, ?, 0)",
            (
                (start - AHEAD, start - AHEAD + PER_STEP * PERIOD - 1, THREAD, 100 + step)
                for step, start in enumerate(starts[::PER_STEP])
            ),
        )
    return path


if __name__ == "__main__":
    made = make(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
    print(f"{made}: {made.stat().st_size / 1e6:,.0f} MB")
