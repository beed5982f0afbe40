"""The versions and the machine that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version

from idlescope import __version__
from idlescope.experiment.config import OWN_ENGINE


def environment(measured: bool = False, engine: str = OWN_ENGINE) -> dict[str, str]:
    """Return the versions that a result depends on, torch's where it ran, and the machine."""
    libraries = {"numpy"}
    if measured:
        libraries.add("torch")
    if engine != OWN_ENGINE:
        libraries.add(engine)
    return {
        "idlescope": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in sorted(libraries)},
        "system": platform.system(),
        "machine": platform.machine(),
    }
