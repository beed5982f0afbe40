"""See, explain, predict and remove the idle time of a GPU that serves a language model.

    import idlescope

    analysis = idlescope.analyze(idlescope.open("trace.json.gz"))
    analysis.devices, analysis.steps, analysis.gaps, analysis.host      # pandas DataFrames, times in nanoseconds
    idlescope.predict(analysis)[0].text()  # what asynchronous batching would give
    run = idlescope.run(idlescope.RunConfig(model="8b", tokens=1000))
    run.modes["sync"].analysis, run.speedup

Around a loop of your own, in Nsight and torch.profiler alike:

    with idlescope.profile("out", steps=50) as p:
        for batch in batches:
            with idlescope.range("prepare"):
                ...
            p.step()

What each number means is in README.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from idlescope.analysis.analyze import analyze
    from idlescope.analysis.comparison.compare import compare
    from idlescope.analysis.prediction.predict import predict
    from idlescope.analysis.result import Analysis
    from idlescope.capture.ranges import Range as range  # noqa: A004, N813 - so do these
    from idlescope.errors import IdlescopeError
    from idlescope.experiment.config import RunConfig
    from idlescope.experiment.result import Run
    from idlescope.experiment.run import run
    from idlescope.profiling import Profile as profile  # noqa: N813
    from idlescope.trace.model import Trace
    from idlescope.trace.open import open_trace as open  # noqa: A004 - idlescope.open reads as intended

__all__ = [
    "Analysis", "IdlescopeError", "Run", "RunConfig", "Trace", "__version__", "analyze", "compare", "open", "predict",
    "profile", "range", "run",
]  # fmt: skip

_HOME = {
    "Analysis": ("idlescope.analysis.result", "Analysis"),
    "analyze": ("idlescope.analysis.analyze", "analyze"),
    "compare": ("idlescope.analysis.comparison.compare", "compare"),
    "predict": ("idlescope.analysis.prediction.predict", "predict"),
    "IdlescopeError": ("idlescope.errors", "IdlescopeError"),
    "RunConfig": ("idlescope.experiment.config", "RunConfig"),
    "Run": ("idlescope.experiment.result", "Run"),
    "run": ("idlescope.experiment.run", "run"),
    "Trace": ("idlescope.trace.model", "Trace"),
    "open": ("idlescope.trace.open", "open_trace"),
    "profile": ("idlescope.profiling", "Profile"),
    "range": ("idlescope.capture.ranges", "Range"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import idlescope` alone costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'idlescope' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOME[name]
    found = globals()[name] = getattr(import_module(module), attribute)  # the next time it is there
    return found
