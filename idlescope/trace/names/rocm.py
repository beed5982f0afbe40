"""What AMD's names of copies, fills and API calls mean, whichever profiler wrote them."""

from __future__ import annotations

import re

from idlescope.trace.model import OperationKind

# Of rocprofiler-sdk (ROCPROFILER_MEMORY_COPY_*) and of roctracer (CopyDeviceToHost): what a copy
# goes from and to. The names are those that Kineto gives such copies on ROCm.
_COPY = re.compile(r"(host|device)_?to_?(host|device)", re.IGNORECASE)
COPY_NAMES = {
    "hosthost": "Memcpy HtoH (Host -> Host)",
    "hostdevice": "Memcpy HtoD (Host -> Device)",
    "devicehost": "Memcpy DtoH (Device -> Host)",
    "devicedevice": "Memcpy DtoD (Device -> Device)",
}

# Kernels that hipMemcpy and hipMemset run as, where no copy engine does the work (ROCclr,
# device/blitcl.cpp).
BLIT_COPY = re.compile(r"^__amd_rocclr_copy")
BLIT_FILL = re.compile(r"^__amd_rocclr_fill")

# Of a symbol of a kernel's descriptor, not of the kernel (LLVM, "User Guide for AMDGPU Backend").
_DESCRIPTOR = ".kd"

API_CALL = re.compile(r"^_*(hip|hsa|cuda|cu)[A-Z_]")


def copy_name(said: str) -> str:
    """Return what a copy is called, given what a profiler says of its direction."""
    direction = _COPY.search(said)
    if direction is None:
        return "Memcpy"
    return COPY_NAMES["".join(direction.groups()).lower()]


def kernel_name(symbol: str) -> str:
    """Return the name of a kernel, without what only its descriptor has."""
    return symbol.removesuffix(_DESCRIPTOR)


def kernel_kind(name: str) -> OperationKind:
    """Return what a kernel does for the program: the runtime's own copy and fill are no kernels."""
    if BLIT_COPY.search(name):
        return OperationKind.MEMCPY
    return OperationKind.MEMSET if BLIT_FILL.search(name) else OperationKind.KERNEL
