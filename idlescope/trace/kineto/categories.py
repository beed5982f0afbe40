"""What the categories of Kineto events are, on CUDA and HIP, in this torch and in older ones."""

from __future__ import annotations

from idlescope.trace.model import OperationKind, RangeKind

OPERATIONS = {
    "kernel": OperationKind.KERNEL, "gpu_memcpy": OperationKind.MEMCPY, "gpu_memset": OperationKind.MEMSET,
    "gpu_graph": OperationKind.GRAPH,  # written by idlescope for graph-level records
    "Kernel": OperationKind.KERNEL, "Memcpy": OperationKind.MEMCPY, "Memset": OperationKind.MEMSET,  # torch < 1.12
}  # fmt: skip
CALLS = frozenset(
    {"cuda_runtime", "cuda_driver", "Runtime", "privateuse1_runtime", "privateuse1_driver"}
)
RANGES = {
    "user_annotation": RangeKind.ANNOTATION, "cpu_op": RangeKind.OPERATOR, "python_function": RangeKind.FRAME,
    "overhead": RangeKind.OVERHEAD, "gc": RangeKind.GARBAGE_COLLECTION, "no_demand": RangeKind.NO_DEMAND,
    "Operator": RangeKind.OPERATOR,
}  # fmt: skip
DETAIL = frozenset(
    {"cpu_op", "python_function", "Operator"}
)  # ranges that `--no-frames` leaves out


def kind(category: str) -> str:
    """Return what a lost event of a category was, in the words of damage.KINDS.

    Categories that no figure depends on (flows, device-side annotations, …) count as ranges, which change least.
    """
    return "operations" if category in OPERATIONS else "calls" if category in CALLS else "ranges"
