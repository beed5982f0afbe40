"""See, explain, predict and remove the idle time of a GPU that serves a language model.

    import idlescope

    analysis = idlescope.analyze(idlescope.open("trace.json.gz"))
    analysis.devices, analysis.steps, analysis.gaps, analysis.host  # DataFrames, nanoseconds
    idlescope.predict(analysis)[0].text()  # what asynchronous batching would give
    run = idlescope.run(idlescope.RunConfig(model="8b", tokens=1000))
    run.modes["sync"].analysis, run.speedup
    run.timeline()  # a matplotlib Figure; `idlescope.figures` has them all
    idlescope.in_ms(analysis.steps)  # in milliseconds, for people

Around a loop of your own, in Nsight Systems and torch.profiler alike:

    with idlescope.profile("out", steps=50) as p:
        for batch in batches:
            with idlescope.range("prepare"):
                ...
            p.step()

The same loop watched while it serves, always on (`idlescope/watching/README.md`):

    watch = idlescope.watch()
    for batch in batches:
        with watch.step():
            with watch.launching():
                ...
    watch.state()

The names in `__all__` are public, with what their docstrings say; anything else may change with any
version. What each number means is in README.md.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

TYPE_CHECKING = False  # as in `typing`, which is not loaded for it
if TYPE_CHECKING:
    from typing import Any

    from idlescope import figures, parts
    from idlescope.analysis.analyze import analyze
    from idlescope.analysis.comparison.compare import compare
    from idlescope.analysis.frames import in_ms
    from idlescope.analysis.prediction.predict import predict
    from idlescope.analysis.result import Analysis
    from idlescope.capture.ranges import Range as range  # noqa: A004, N813 - so do these
    from idlescope.errors import IdlescopeError
    from idlescope.experiment.config import RunConfig
    from idlescope.experiment.grid_sweep import Sweep, sweep
    from idlescope.experiment.result import Run
    from idlescope.experiment.run import run
    from idlescope.profiling import Profile as profile  # noqa: N813
    from idlescope.trace.model import Trace
    from idlescope.trace.open import open_trace as open  # noqa: A004 - idlescope.open reads as intended
    from idlescope.watching.watch import Watch as watch  # noqa: N813

__all__ = [
    "Analysis",
    "IdlescopeError",
    "Run",
    "RunConfig",
    "Sweep",
    "Trace",
    "__version__",
    "analyze",
    "compare",
    "figures",
    "in_ms",
    "open",
    "parts",
    "predict",
    "profile",
    "range",
    "run",
    "sweep",
    "watch",
]

# public name -> module, and the name there; a module itself has none
_HOME = {
    "Analysis": ("idlescope.analysis.result", "Analysis"),
    "IdlescopeError": ("idlescope.errors", "IdlescopeError"),
    "Run": ("idlescope.experiment.result", "Run"),
    "RunConfig": ("idlescope.experiment.config", "RunConfig"),
    "Sweep": ("idlescope.experiment.grid_sweep", "Sweep"),
    "Trace": ("idlescope.trace.model", "Trace"),
    "analyze": ("idlescope.analysis.analyze", "analyze"),
    "compare": ("idlescope.analysis.comparison.compare", "compare"),
    "figures": ("idlescope.figures", ""),
    "in_ms": ("idlescope.analysis.frames", "in_ms"),
    "open": ("idlescope.trace.open", "open_trace"),
    "parts": ("idlescope.parts", ""),
    "predict": ("idlescope.analysis.prediction.predict", "predict"),
    "profile": ("idlescope.profiling", "Profile"),
    "range": ("idlescope.capture.ranges", "Range"),
    "run": ("idlescope.experiment.run", "run"),
    "sweep": ("idlescope.experiment.grid_sweep", "sweep"),
    "watch": ("idlescope.watching.watch", "Watch"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import idlescope` alone costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'idlescope' has no attribute {name!r}")
    place, attribute = _HOME[name]
    module = import_module(place)
    # the next time it is there
    public = globals()[name] = getattr(module, attribute) if attribute else module
    return public


def __dir__() -> list[str]:
    return __all__
