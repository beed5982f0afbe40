"""The analysis, and the device of it, that a question is about."""

from __future__ import annotations

from idlescope.agents.memory import Choice, Memory
from idlescope.agents.questions import TraceQuestion
from idlescope.agents.roots import Roots
from idlescope.analysis.no_device import no_device
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.errors import ConfigError, TraceError


def asked_analysis(memory: Memory, roots: Roots, question: TraceQuestion) -> Analysis:
    """Return the analysis of the trace of a question. Raises TraceError and ConfigError."""
    path = roots.allowed(question.trace)
    return memory.analysis(path, question.mode, Choice(question.window, question.step_ms))


def asked_device(analysis: Analysis, index: int | None) -> DeviceResult:
    """Return the device that is asked for; the first unless one is.

    Raises ConfigError where there is no such device, TraceError where there is none at all.
    """
    if not analysis.results:
        raise TraceError(no_device(analysis.trace))
    for result in analysis.results:
        if index in (None, result.device.index):
            return result
    known = sorted({result.device.index for result in analysis.results})
    raise ConfigError(f"there is no device {index}: there are {', '.join(map(str, known))}")
