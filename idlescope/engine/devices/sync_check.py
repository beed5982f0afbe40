"""A guard that finds what quietly waits for the GPU inside the loop.

Such as `.item()`, `.tolist()` and copies to or from pageable memory.

A copy to or from memory that is not pinned waits, whatever `non_blocking` says. torch reports some
waits itself (`torch.cuda.set_sync_debug_mode`), but not these copies.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from idlescope.errors import EngineError

READS = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::equal",
}
COPY, CONVERT = "aten::copy_", "aten::_to_copy"


def on_gpu(tensor: Tensor) -> bool:
    """Return whether a tensor is in a GPU's memory."""
    return tensor.is_cuda


class SyncCheck(TorchDispatchMode):
    """Between `start` and `stop`: counts waits by the line that did them.

    `mode` is "off", "warn" or "error": then the first wait raises EngineError. `on_device` says
    which tensors are on the device.
    """

    def __init__(self, mode: str, on_device: Callable[[Tensor], bool] = on_gpu) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mode, self.on_device = mode, on_device
        self.found: Counter[str] = Counter()  # by what waited and where
        self._warnings: Any = None

    def start(self) -> None:
        """Watch this thread."""
        if self.mode == "off":
            return
        self.__enter__()  # type: ignore[no-untyped-call]
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode(self.mode)
            self._warnings = warnings.catch_warnings()
            self._warnings.__enter__()
            warnings.showwarning = self._torch_warns

    def stop(self) -> None:
        """Watch no longer."""
        if self.mode == "off":
            return
        if self._warnings is not None:
            torch.cuda.set_sync_debug_mode("default")
            self._warnings.__exit__(None, None, None)
            self._warnings = None
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def report(self) -> tuple[str, ...]:
        """Return a sentence for each line that waited."""
        return tuple(
            f"hidden synchronisation: {sync_kind}, {sync_count} times"
            for sync_kind, sync_count in self.found.most_common()
        )

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Look at an operation before it runs."""
        operator_name, kwargs = func._schema.name, kwargs or {}
        if operator_name in READS and self.on_device(args[0]):
            read_name = operator_name.removeprefix("aten::").strip("_")
            self._find(f"{read_name} at {caller()}")
        elif (operator_name == COPY and self._copy_waits(args, kwargs)) or (
            operator_name == CONVERT and self._conversion_waits(args[0], kwargs)
        ):
            self._find(f"a copy that waits at {caller()}")
        return func(*args, **kwargs)

    def _copy_waits(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Return whether `target.copy_(source)` is between the device and the host, and waits."""
        target, source = args[0], args[1]
        to_device = self.on_device(target)
        if to_device == self.on_device(source):
            return False
        non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        on_host = source if to_device else target
        return not (non_blocking and on_host.is_pinned())

    def _conversion_waits(self, source: Tensor, kwargs: dict[str, Any]) -> bool:
        """Return whether `source.to(…)` moves it between the device and the host, and waits."""
        device = kwargs.get("device")
        if device is None or torch.device(device).type == source.device.type:
            return False
        to_host = self.on_device(source)
        return to_host or not (kwargs.get("non_blocking", False) and source.is_pinned())

    def _find(self, what: str) -> None:
        if self.mode == "error":
            raise EngineError(f"hidden synchronisation: {what}")
        self.found[what] += 1

    def _torch_warns(self, message: Warning | str, *_: Any, **__: Any) -> None:
        caller_line = caller()
        if not any(found_sync.endswith(caller_line) for found_sync in self.found):
            sentence = str(message).partition(" (")[0]
            self.found[f"{sentence} at {caller_line}"] += 1


def caller() -> str:
    """Return file and line of the innermost frame that is neither torch's nor this module's."""
    stack_frame: FrameType | None = sys._getframe(1)
    while stack_frame is not None:
        file_name = stack_frame.f_code.co_filename
        if "/torch/" not in file_name and file_name not in (__file__, warnings.__file__):
            return f"{file_name}:{stack_frame.f_lineno}"
        stack_frame = stack_frame.f_back
    return "an unknown line"
