"""What the categories of Kineto events are, on CUDA and HIP, in this torch and in older ones."""

from __future__ import annotations

from idlescope.trace.model import OperationKind, RangeKind

OPERATIONS = {
    "kernel": OperationKind.KERNEL,
    "gpu_memcpy": OperationKind.MEMCPY,
    "gpu_memset": OperationKind.MEMSET,
    # written by idlescope for graph-level records
    "gpu_graph": OperationKind.GRAPH,
    # torch < 1.12
    "Kernel": OperationKind.KERNEL,
    "Memcpy": OperationKind.MEMCPY,
    "Memset": OperationKind.MEMSET,
}
CALLS = frozenset(
    {
        "cuda_runtime",
        "cuda_driver",
        "Runtime",
        "privateuse1_runtime",
        "privateuse1_driver",
        # Intel GPUs (libkineto, ActivityType.h)
        "xpu_runtime",
        "xpu_driver",
    }
)
RANGES = {
    "user_annotation": RangeKind.ANNOTATION,
    "cpu_op": RangeKind.OPERATOR,
    "python_function": RangeKind.FRAME,
    "overhead": RangeKind.OVERHEAD,
    "gc": RangeKind.GARBAGE_COLLECTION,
    "no_demand": RangeKind.NO_DEMAND,
    "Operator": RangeKind.OPERATOR,
}
# ranges that `--no-frames` leaves out
DETAIL = frozenset({"cpu_op", "python_function", "Operator"})
# torch < 1.12 wrote the ranges of its own steps as operators
STEP_NAME = "ProfilerStep#"


def kind(category: str) -> str:
    """Return what a lost event of a category was, in the words of damage.KINDS.

    Categories that no figure depends on (flows, device-side annotations, …) count as ranges, which
    change least.
    """
    if category in OPERATIONS:
        return "operations"
    return "calls" if category in CALLS else "ranges"
