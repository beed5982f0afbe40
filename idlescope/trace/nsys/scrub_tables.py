"""What a shared copy of a Nsight Systems export may hold: known tables, known columns of each."""

from __future__ import annotations

ON_DEVICE = "start end deviceId contextId greenContextId streamId correlationId globalPid"


def _columns(names: str) -> tuple[str, ...]:
    return tuple(names.split())


# Tables of numbers, the columns that are copied from each; those of STRINGS refer to StringIds.
NUMBERS: dict[str, tuple[str, ...]] = {
    "CUPTI_ACTIVITY_KIND_KERNEL": _columns(
        f"{ON_DEVICE} "
        "demangledName shortName mangledName launchType cacheConfig registersPerThread "
        "gridX gridY gridZ blockX blockY blockZ staticSharedMemory dynamicSharedMemory "
        "localMemoryPerThread localMemoryTotal gridId sharedMemoryExecuted graphNodeId "
        "graphId sharedMemoryLimitConfig clusterX clusterY clusterZ"
    ),
    "CUPTI_ACTIVITY_KIND_MEMCPY": _columns(
        f"{ON_DEVICE} "
        "bytes copyKind srcKind dstKind srcDeviceId srcContextId dstDeviceId dstContextId "
        "graphNodeId copyCount"
    ),
    "CUPTI_ACTIVITY_KIND_MEMSET": _columns(f"{ON_DEVICE} value bytes graphNodeId memKind"),
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": _columns(f"{ON_DEVICE} graphId graphExecId"),
    "CUPTI_ACTIVITY_KIND_RUNTIME": _columns(
        "start end eventClass globalTid correlationId nameId returnValue"
    ),
    "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": _columns(
        f"{ON_DEVICE} deprecatedSyncType syncType eventId eventSyncId"
    ),
    "CUPTI_ACTIVITY_KIND_OVERHEAD": _columns(
        "start end eventClass globalTid correlationId nameId overheadType"
    ),
    "PROFILER_OVERHEAD": _columns("start end globalTid nameId overheadType"),
    "CUDA_GRAPH_NODE_EVENTS": _columns(
        "start end nameId eventClass globalTid graphNodeId originalGraphNodeId"
    ),
    "NVTX_EVENTS": _columns(
        "start end eventType rangeId category color globalTid endGlobalTid textId domainId "
        "uint64Value int64Value uint32Value int32Value"
    ),
    "TARGET_INFO_CUDA_STREAM": _columns(
        "streamId hwId vmId processId contextId priority flag"
    ),
}
STRINGS = frozenset({"demangledName", "shortName", "mangledName", "nameId", "textId"})
GLOBAL_IDS = frozenset({"globalTid", "endGlobalTid", "globalPid"})
TEXTS = {"NVTX_EVENTS": "text"}  # a column of text beside the numbers

# Small tables, with columns of text among the others. Paths are cut in it, a GPU's serial number
# is replaced.
FACTS: dict[str, tuple[str, ...]] = {
    "TARGET_INFO_GPU": _columns(
        "vmId id name busLocation isDiscrete l2CacheSize totalMemory memoryBandwidth "
        "clockRate smCount uuid chipName cuDevice computeMajor computeMinor"
    ),
    "TARGET_INFO_CUDA_DEVICE": _columns("gpuId cudaId pid uuid numMultiprocessors"),
}
FACT_TEXTS = frozenset({"name", "busLocation", "uuid", "chipName"})
ENUMERATIONS = _columns(
    "ENUM_CUDA_MEMCPY_OPER ENUM_CUDA_MEM_KIND ENUM_CUDA_KERNEL_LAUNCH_TYPE "
    "ENUM_CUDA_FUNC_CACHE_CONFIG ENUM_CUDA_SHARED_MEM_LIMIT_CONFIG ENUM_CUPTI_OVERHEAD_TYPE "
    "ENUM_CUPTI_STREAM_TYPE ENUM_CUPTI_SYNC_TYPE ENUM_NSYS_EVENT_CLASS ENUM_NSYS_EVENT_TYPE "
    "ENUM_DIAGNOSTIC_SEVERITY_LEVEL ENUM_DIAGNOSTIC_SOURCE_TYPE "
    "ENUM_DIAGNOSTIC_TIMESTAMP_SOURCE"
)
EXPORT_FACTS = frozenset(
    {
        "EXPORT_PRODUCT_NAME",
        "EXPORT_PRODUCT_VERSION",
        "EXPORT_SCHEMA_VERSION",
        "EXPORT_SCHEMA_VERSION_MAJOR",
        "EXPORT_SCHEMA_VERSION_MINOR",
        "EXPORT_SCHEMA_VERSION_MICRO",
    }
)
# what the user is told of tables that are known to tell more than they should
REMOVED = {
    "META_DATA_CAPTURE": "environment, command lines and settings of the capture",
    "TARGET_INFO_SYSTEM_ENV": "facts about the machine",
    "TARGET_INFO_SESSION_START_TIME": "times of the capture",
    "ANALYSIS_FILE": "captured files",
    "ProcessStreams": "captured output of processes",
}
