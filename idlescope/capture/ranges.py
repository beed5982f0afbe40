"""Ranges that every tool sees: NVTX ranges, and `record_function` while torch.profiler records.

torch.profiler does not record NVTX ranges, nor Nsight Systems `record_function`: a range is both.
Where no tool listens it is next to nothing.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from contextlib import ContextDecorator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from threading import get_ident
from time import perf_counter_ns
from typing import Any, Protocol

from idlescope.palette import PHASE

DOMAIN = "idlescope"
USER = "user"  # the category of ranges that are no phase
OPAQUE = 0xFF000000
COLOURS: Mapping[str, int] = {  # by category, ARGB
    category: OPAQUE | int(colour[1:], 16) for category, colour in PHASE.items()
}


class Listener(Protocol):
    """What takes the ranges of one thread down: the rows of a watch (`idlescope.watching`).

    They are added to here, without a call: a range costs a microsecond where it is watched.
    """

    open_phases: list[int]  # code, start, code, start, …: the one that began last is last
    phases: list[int]  # code, -1, start, end, code, …: times in ns of perf_counter
    # The clock has been, or is about to be, read for what is in none of the lists yet: another
    # thread that takes them would miss it.
    is_writing: bool

    @property
    def names(self) -> Mapping[str, int]:
        """Return what gives a code to any name that it is asked for."""


_loaded = sys.modules.get  # a module, if it is imported: what is not does not record
LISTENERS: dict[int, Listener] = {}  # by thread; empty where nothing is watched


class Range(ContextDecorator):
    """A named stretch of the host's time, as a context manager or a decorator.

    `phase` is the phase of a serving engine that it is (schedule, prepare, …): its category and
    colour; `step`, the number of the step that it is host work for, is the payload.
    """

    _annotation: Any = None  # an NVTX range
    _handle: Any = None  # of torch.profiler's range
    _listener: Listener | None = None

    def __init__(
        self, name: str, phase: str | None = None, step: int | None = None
    ) -> None:
        self._name = name
        self._phase = phase
        self._step = step
        # As the listener has it. Set here: an attribute that comes later costs 0.2 us.
        self._phase_start = 0

    def _recreate_cm(self) -> Range:
        """Return a range for one call of a decorated function, which several threads may call."""
        return Range(self._name, self._phase, self._step)

    def __enter__(self) -> Range:
        if nvtx_listens():
            self._annotation = annotation(self._name, self._phase or USER, self._step)
            self._annotation.__enter__()
        profiler = _loaded("torch.autograd.profiler")
        if profiler is not None and profiler._is_profiler_enabled:
            self._handle = begin_recorded(self._name)
        if LISTENERS:
            rows = self._listener = LISTENERS.get(get_ident())
            if rows is not None:
                code = rows.names[self._name]
                rows.is_writing = True
                self._phase_start = phase_start = perf_counter_ns()
                rows.open_phases.extend((code, phase_start))
                rows.is_writing = False
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        rows = self._listener
        if rows is not None:
            rows.is_writing = True
            phase_end = perf_counter_ns()
            self._listener = None
            open_phases = rows.open_phases
            phase_start = self._phase_start
            try:
                if open_phases[-1] == phase_start:
                    rows.phases.extend((open_phases[-2], -1, phase_start, phase_end))
                    del open_phases[-2:]
                else:
                    end_other(rows, phase_start, phase_end)
            except IndexError:
                pass  # nothing is open any more: whoever takes the rows dropped it
            rows.is_writing = False
        if self._handle is not None:
            end_recorded(self._handle)
        if self._annotation is not None:
            self._annotation.__exit__(None, None, None)
            self._annotation = None


def end_other(rows: Listener, phase_start: int, phase_end: int) -> None:
    """End a phase that is not the one that began last: generators and tasks leave in any order."""
    starts = rows.open_phases[1::2]
    if phase_start in starts:
        place = 2 * starts.index(phase_start)
        rows.phases.extend((rows.open_phases[place], -1, phase_start, phase_end))
        del rows.open_phases[place : place + 2]


def mark(name: str, category: str = USER, number: int | None = None) -> None:
    """Mark an instant under NVTX; `number` is the payload. torch.profiler has no such thing."""
    if nvtx_listens():
        import nvtx

        nvtx.mark(name, colour_of(category), DOMAIN, category, number)


def annotation(name: str, category: str, number: int | None = None) -> Any:
    """Return an NVTX range to enter and exit, its name registered; its payload may be changed."""
    import nvtx

    return nvtx.annotate(name, colour_of(category), DOMAIN, category, number)


def colour_of(category: str) -> int:
    """Return the ARGB colour of a category of ranges."""
    return COLOURS.get(category, COLOURS["other"])


def begin_recorded(name: str) -> Any:
    """Begin a range that torch.profiler records; return its handle, None where it does not record.

    It is ended by `end_recorded`, in the same thread.
    """
    profiler = _loaded("torch.autograd.profiler")
    if profiler is None or not profiler._is_profiler_enabled:
        return None
    # What record_function does, at a third of its cost (6.6 us): its own entrance is made for
    # TorchScript, too.
    from torch.autograd import _record_function_with_args_enter  # type: ignore[attr-defined]

    return _record_function_with_args_enter(name)


def end_recorded(handle: Any) -> None:
    """End a range of `begin_recorded`."""
    if handle is not None:
        from torch.autograd import _record_function_with_args_exit  # type: ignore[attr-defined]

        _record_function_with_args_exit(handle)


@cache
def nvtx_listens() -> bool:
    """Return whether a tool takes NVTX ranges: it attaches at the start of a process, or never."""
    try:
        import nvtx
    except ImportError:
        return False
    problem = nvtx_problem()
    if problem is not None:
        warnings.warn(problem, stacklevel=2)
    return not _is_dummy(nvtx.get_domain(DOMAIN))


def nvtx_problem() -> str | None:
    """Return what to do where a tool is attached that this nvtx does not see; None: all is well."""
    injected_tool = os.environ.get("NVTX_INJECTION64_PATH")
    if not injected_tool or os.environ.get("NVTX_DISABLE"):
        return None
    try:
        import nvtx
    except ImportError:
        missing = "nvtx is not installed, so no range is named: pip install nvtx"
        return f"{injected_tool} is attached and {missing}"
    if not _is_dummy(nvtx.get_domain(DOMAIN)):
        return None
    try:
        nvtx_version = version("nvtx")
    except PackageNotFoundError:
        nvtx_version = "(of unknown version)"
    return (
        f"{injected_tool} is attached and nvtx {nvtx_version} does not see it, "
        "so no range is named: take a newer nsys, "
        "or for nsys up to 2023.4 pip install 'nvtx==0.2.11'"
    )


def _is_dummy(domain: object) -> bool:
    """Return whether nvtx sees no tool; versions before 0.2.12 cannot tell."""
    return type(domain).__name__ == "DummyDomain"
