"""Which device records nobody launched: pages of unified memory that the driver moves on demand."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from idlescope.trace.model import OperationKind, Operations
from idlescope.trace.names.calls import matching
from idlescope.trace.table import Bool

# "[CUDA Unified Memory memcpy HtoD]" and "[CUDA memcpy Unified Host-to-Device]" as the profilers
# name them; kernels such as vLLM's `kernel_unified_attention_2d` are another thing.
UNIFIED_MEMORY = re.compile(r"\bunified memory\b|\bmemcpy unified\b", re.IGNORECASE)


def migrations(operations: Operations, names: Sequence[str]) -> Bool:
    """Return for each operation whether it is a migration of unified memory."""
    copies = operations.kind == OperationKind.MEMCPY
    if not copies.any():
        return np.zeros(len(operations), np.bool_)
    return copies & matching(UNIFIED_MEMORY, names)[operations.name]
