"""Ranges that every tool sees: NVTX for Nsight and, while torch.profiler records, `record_function` for its trace.

torch.profiler does not record NVTX ranges, nor Nsight `record_function`: a range is both. Where no tool listens it is
next to nothing.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from contextlib import ContextDecorator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from idlescope.palette import PHASE

DOMAIN = "idlescope"
USER = "user"  # the category of ranges that are no phase
COLOURS: Mapping[str, int] = {
    category: 0xFF000000 | int(colour[1:], 16) for category, colour in PHASE.items()
}


class Range(ContextDecorator):
    """A named stretch of the host's time, as a context manager or a decorator.

    `phase` is the phase of a serving engine that it is (schedule, prepare, …): its category and colour; `step`, the
    number of the step that it is work for, is the payload.
    """

    def __init__(self, name: str, phase: str | None = None, step: int | None = None) -> None:
        self._name, self._phase, self._step = name, phase, step
        self._annotation: Any = None
        self._record: Any = None

    def _recreate_cm(self) -> Range:
        """Return a range for one call of a decorated function, which may be called by several threads at once."""
        return Range(self._name, self._phase, self._step)

    def __enter__(self) -> Range:
        if nvtx_listens():
            self._annotation = annotation(self._name, self._phase or USER, self._step)
            self._annotation.__enter__()
        self._record = recorded(self._name)
        return self

    def __exit__(self, *exception: object) -> None:
        end_recorded(self._record)
        if self._annotation is not None:
            self._annotation.__exit__(None, None, None)
            self._annotation = None


def mark(name: str, category: str = USER, number: int | None = None) -> None:
    """Mark an instant under NVTX; `number` is the payload. torch.profiler has no such thing."""
    if nvtx_listens():
        import nvtx

        nvtx.mark(name, COLOURS.get(category, COLOURS["other"]), DOMAIN, category, number)


def annotation(name: str, category: str, number: int | None = None) -> Any:
    """Return an NVTX range to enter and exit, its name registered; the payload may be changed in between."""
    import nvtx

    return nvtx.annotate(name, COLOURS.get(category, COLOURS["other"]), DOMAIN, category, number)


def recorded(name: str) -> Any:
    """Return the handle of a range that torch.profiler records, for `end_recorded`; None where it does not record."""
    profiler = sys.modules.get("torch.autograd.profiler")  # what is not imported does not record
    if profiler is None or not profiler._is_profiler_enabled:
        return None
    # what record_function does, at a third of its cost (6.6 us): its own entrance is made for TorchScript, too
    from torch.autograd import _record_function_with_args_enter  # type: ignore[attr-defined]

    return _record_function_with_args_enter(name)


def end_recorded(handle: Any) -> None:
    """End a range of `recorded`."""
    if handle is not None:
        from torch.autograd import _record_function_with_args_exit  # type: ignore[attr-defined]

        _record_function_with_args_exit(handle)


@cache
def nvtx_listens() -> bool:
    """Return whether a tool takes NVTX ranges. It attaches at the start of a process, so this is asked once."""
    try:
        import nvtx
    except ImportError:
        return False
    if (problem := unheard()) is not None:
        warnings.warn(problem, stacklevel=2)
    return not _dummy(nvtx.get_domain(DOMAIN))


def unheard() -> str | None:
    """Return what to do where a tool is attached and this version of nvtx does not see it; None where all is well."""
    tool = os.environ.get("NVTX_INJECTION64_PATH")
    if not tool or os.environ.get("NVTX_DISABLE"):
        return None
    try:
        import nvtx
    except ImportError:
        return (
            f"{tool} is attached and nvtx is not installed, so no range is named: pip install nvtx"
        )
    if not _dummy(nvtx.get_domain(DOMAIN)):
        return None
    try:
        number = version("nvtx")
    except PackageNotFoundError:
        number = "(of unknown version)"
    return (
        f"{tool} is attached and nvtx {number} does not see it, so no range is named: take a newer nsys, or for nsys "
        "up to 2023.4 pip install 'nvtx==0.2.11'"
    )


def _dummy(domain: object) -> bool:
    return (
        type(domain).__name__ == "DummyDomain"
    )  # nvtx >= 0.2.12 where it sees no tool; 0.2.11 has no such thing
