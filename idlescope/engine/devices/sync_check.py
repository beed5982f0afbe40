"""A guard that finds what quietly waits for the GPU inside the loop: `.item()`, `.tolist()`, pageable copies.

A copy to or from memory that is not pinned waits, whatever `non_blocking` says. torch reports some waits itself
(`torch.cuda.set_sync_debug_mode`), but not these copies.
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
COPIES = {"aten::copy_", "aten::_to_copy"}


def on_gpu(tensor: Tensor) -> bool:
    """Return whether a tensor is in a GPU's memory."""
    return tensor.is_cuda


class SyncCheck(TorchDispatchMode):
    """Between `start` and `stop`: counts waits by the line that did them, or raises EngineError at the first.

    `mode` is "off", "warn" or "error". `on_device` says which tensors are on the device.
    """

    def __init__(self, mode: str, on_device: Callable[[Tensor], bool] = on_gpu) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mode, self.on_device = mode, on_device
        self.found: Counter[str] = Counter()
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
            f"hidden synchronisation: {what}, {count} times"
            for what, count in self.found.most_common()
        )

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Look at an operation before it runs."""
        name, kwargs = func._schema.name, kwargs or {}
        if (name in READS and self.on_device(args[0])) or (
            name in COPIES and self._waits(name, args, kwargs)
        ):
            what = "a copy that waits" if name in COPIES else name.removeprefix("aten::").strip("_")
            self._find(f"{what} at {caller()}")
        return func(*args, **kwargs)

    def _waits(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Return whether a copy is between the device and the host, and waits for it."""
        if name == "aten::copy_":
            target, source = args[0], args[1]
            there = self.on_device(target)
            asynchronous = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
            host = source if there else target
            return there != self.on_device(source) and not (asynchronous and host.is_pinned())
        source, device = args[0], kwargs.get("device")
        if device is None or torch.device(device).type == source.device.type:
            return False
        to_host = self.on_device(source)
        return to_host or not (kwargs.get("non_blocking", False) and source.is_pinned())

    def _find(self, what: str) -> None:
        if self.mode == "error":
            raise EngineError(f"hidden synchronisation: {what}")
        self.found[what] += 1

    def _torch_warns(self, message: Warning | str, *_: Any, **__: Any) -> None:
        line = caller()
        if not any(what.endswith(line) for what in self.found):
            self.found[f"{str(message).split(' (')[0]} at {line}"] += 1


def caller() -> str:
    """Return file and line of the innermost frame that is neither torch's nor this module's."""
    frame: FrameType | None = sys._getframe(1)
    ours = (__file__, warnings.__file__)
    while frame is not None and (
        "/torch/" in frame.f_code.co_filename or frame.f_code.co_filename in ours
    ):
        frame = frame.f_back
    return "an unknown line" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
