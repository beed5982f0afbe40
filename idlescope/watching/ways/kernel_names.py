"""Names of operations as numbers: each kernel's is read once, where CUPTI keeps it."""

from __future__ import annotations

import ctypes

import numpy as np

from idlescope.trace.model import OperationKind
from idlescope.trace.names.communication import Collective, collective
from idlescope.trace.table import Bool, Int64

MOST_NAMES = 2_048  # further kernels are called `OTHER`
OTHER = "another kernel"
# Names of what has none of its own, in the order of OperationKind.
WITHOUT_NAME = ("kernel", "copy", "memset", "graph")


class KernelNames:
    """Gives each name of a kernel a number, by where it stands in memory."""

    def __init__(self) -> None:
        self._codes: dict[int, int] = {}  # by address
        self.names: list[str] = [*WITHOUT_NAME, OTHER]
        self._communicates = [False] * len(self.names)

    def codes(self, kind: Int64, address: Int64) -> Int64:
        """Return the index into `names` of each operation's name."""
        codes = kind.copy()
        kernels = kind == OperationKind.KERNEL
        addresses, inverse = np.unique(address[kernels], return_inverse=True)
        of_address = [self._code(int(place)) for place in addresses]
        codes[kernels] = np.array(of_address, np.int64)[inverse]
        return codes

    def communicates(self, codes: Int64) -> Bool:
        """Return for each name whether such a kernel moves or reduces data between devices."""
        return np.array(self._communicates, np.bool_)[codes]

    def _code(self, address: int) -> int:
        code = self._codes.get(address)
        if code is None:
            code = self._codes[address] = self._add(_text(address))
        return code

    def _add(self, name: str) -> int:
        if not name:
            return OperationKind.KERNEL.value
        if len(self.names) >= MOST_NAMES:
            return len(WITHOUT_NAME)
        self.names.append(name)
        self._communicates.append(collective(name) is not Collective.NONE)
        return len(self.names) - 1


def _text(address: int) -> str:
    """Return the name that stands at an address, as C++ writes it; "" where there is none."""
    if not address:
        return ""
    mangled = (ctypes.string_at(address) or b"").decode(errors="replace")
    from torch._C import _demangle

    return str(_demangle(mangled))
