"""The tables of an Nsight Systems SQLite export, and the numbers that stand for names in them.

Those tables and columns of nsys 2024 that a Trace can fill. Columns that only the hardware knows
(grids, registers, return values) are left out or zero.
"""

from __future__ import annotations

from idlescope import __version__

# A globalPid is the number of a virtual machine, 8 bits, then the pid; nsys numbers the only
# machine 1. A globalTid has a thread's number in the lowest 24 bits.
VIRTUAL_MACHINE = 1
MACHINE_SHIFT, PID_SHIFT = 48, 24
PUSH_POP, START_END = 59, 60  # eventType of NVTX_EVENTS
WARNING_SEVERITY = 2  # of DIAGNOSTIC_EVENT

# ENUM_CUDA_MEMCPY_OPER and ENUM_CUDA_MEM_KIND
COPY_KINDS = {
    "HtoD": 1,
    "DtoH": 2,
    "HtoA": 3,
    "AtoH": 4,
    "AtoA": 5,
    "AtoD": 6,
    "DtoA": 7,
    "DtoD": 8,
    "HtoH": 9,
    "PtoP": 10,
}
MEMORY_KINDS = {"Pageable": 0, "Pinned": 1, "Device": 2, "Array": 3, "Managed": 4}

ON_DEVICE = (
    "start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL, "
    "contextId INTEGER NOT NULL, streamId INTEGER NOT NULL, correlationId INTEGER, "
    "globalPid INTEGER"
)
# Columns by table. StringIds comes last: the rows of the others fill it.
SCHEMA = {
    "CUPTI_ACTIVITY_KIND_KERNEL": f"{ON_DEVICE}, demangledName INTEGER NOT NULL, "
    "shortName INTEGER NOT NULL, mangledName INTEGER",
    "CUPTI_ACTIVITY_KIND_MEMCPY": f"{ON_DEVICE}, bytes INTEGER NOT NULL, "
    "copyKind INTEGER NOT NULL, srcKind INTEGER, dstKind INTEGER",
    "CUPTI_ACTIVITY_KIND_MEMSET": f"{ON_DEVICE}, value INTEGER NOT NULL, bytes INTEGER NOT NULL",
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": f"{ON_DEVICE}, graphId INTEGER, graphExecId INTEGER",
    "CUPTI_ACTIVITY_KIND_RUNTIME": "start INTEGER NOT NULL, end INTEGER NOT NULL, "
    "eventClass INTEGER NOT NULL, globalTid INTEGER, correlationId INTEGER, "
    "nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL, callchainId INTEGER",
    "NVTX_EVENTS": "start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, "
    "rangeId INTEGER, text TEXT, globalTid INTEGER, endGlobalTid INTEGER, textId INTEGER, "
    "domainId INTEGER",
    "PROFILER_OVERHEAD": "start INTEGER NOT NULL, end INTEGER NOT NULL, globalTid INTEGER, "
    "nameId INTEGER NOT NULL, overheadType INTEGER",
    "DIAGNOSTIC_EVENT": "timestamp INTEGER NOT NULL, timestampType INTEGER NOT NULL, "
    "source INTEGER NOT NULL, severity INTEGER NOT NULL, text TEXT NOT NULL, globalPid INTEGER",
    "ThreadNames": "nameId INTEGER NOT NULL, priority INTEGER, globalTid INTEGER",
    "PROCESSES": "globalPid INTEGER, pid INTEGER, name TEXT",
    "TARGET_INFO_GPU": "vmId INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT, uuid TEXT, "
    "cuDevice INTEGER",
    "TARGET_INFO_CUDA_DEVICE": "gpuId INTEGER NOT NULL, cudaId INTEGER NOT NULL, "
    "pid INTEGER NOT NULL, uuid TEXT",
    "META_DATA_EXPORT": "name TEXT NOT NULL, value TEXT",
    "StringIds": "id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL",
}
# Rows of META_DATA_EXPORT; the version of nsys 2026.2, whose tables these are.
EXPORT = {
    "EXPORT_PRODUCT_NAME": "idlescope convert",
    "EXPORT_PRODUCT_VERSION": __version__,
    "EXPORT_SCHEMA_VERSION": "3.25.0",
    "EXPORT_SCHEMA_VERSION_MAJOR": "3",
    "EXPORT_SCHEMA_VERSION_MINOR": "25",
    "EXPORT_SCHEMA_VERSION_MICRO": "0",
}
