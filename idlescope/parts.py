"""The parts of the reference engine, for those who build a loop of their own: `idlescope.parts`.

Notebook 3 builds asynchronous batching from them. They are public in this list alone: where each
comes from may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from idlescope.capture.step_clock import StepClock
    from idlescope.engine.clock import PREPARE, RETRIEVE, SUBMIT, SystemClock
    from idlescope.engine.devices.base import COMPUTE, D2H, H2D, DeviceOperation
    from idlescope.engine.devices.cpu import CpuDevice
    from idlescope.engine.loop import Engine
    from idlescope.engine.network.network import Network
    from idlescope.engine.requests import Request
    from idlescope.engine.running_rows import Shape
    from idlescope.models.presets import model
    from idlescope.trace.metadata import Metadata
    from idlescope.trace.model import OperationKind

__all__ = [
    "COMPUTE",
    "D2H",
    "H2D",
    "PREPARE",
    "RETRIEVE",
    "SUBMIT",
    "CpuDevice",
    "DeviceOperation",
    "Engine",
    "Metadata",
    "Network",
    "OperationKind",
    "Request",
    "Shape",
    "StepClock",
    "SystemClock",
    "model",
]

_HOME = {
    "COMPUTE": "idlescope.engine.devices.base",
    "D2H": "idlescope.engine.devices.base",
    "H2D": "idlescope.engine.devices.base",
    "DeviceOperation": "idlescope.engine.devices.base",
    "PREPARE": "idlescope.engine.clock",
    "RETRIEVE": "idlescope.engine.clock",
    "SUBMIT": "idlescope.engine.clock",
    "SystemClock": "idlescope.engine.clock",
    "CpuDevice": "idlescope.engine.devices.cpu",
    "Engine": "idlescope.engine.loop",
    "Metadata": "idlescope.trace.metadata",
    "Network": "idlescope.engine.network.network",
    "OperationKind": "idlescope.trace.model",
    "Request": "idlescope.engine.requests",
    "Shape": "idlescope.engine.running_rows",
    "StepClock": "idlescope.capture.step_clock",
    "model": "idlescope.models.presets",
}


def __getattr__(name: str) -> Any:
    """Import a part when it is asked for: the network needs torch, the others do not."""
    if name not in _HOME:
        raise AttributeError(f"module 'idlescope.parts' has no attribute {name!r}")
    part = globals()[name] = getattr(import_module(_HOME[name]), name)
    return part


def __dir__() -> list[str]:
    return __all__
