"""Run a configuration: choose the device, refuse what cannot be run, and hand it to its engine."""

from __future__ import annotations

from pathlib import Path

from idlescope.errors import ConfigError
from idlescope.experiment.config import TRANSFORMERS, RunConfig
from idlescope.experiment.device_choice import kv_cache
from idlescope.experiment.device_choice.base import DeviceChoice
from idlescope.experiment.device_choice.choose import choose
from idlescope.experiment.progress import Progress
from idlescope.experiment.result import Run
from idlescope.experiment.watched import Watched, unwatched


def run(
    config: RunConfig,
    progress: Progress | None = None,
    folder: Path | None = None,
    watched: Watched = unwatched,
) -> Run:
    """Run a configuration; `progress` is called after every step, outside of what is timed.

    `watched` gives our own engine a recorder that tells a watch, too.

    A profiler's traces are written to `folder`, which must be there. Ctrl-C stops the mode that is
    running and skips the next; what was recorded until then is kept. Where nothing was,
    KeyboardInterrupt is raised. Raises ConfigError for what cannot be run, EngineError where a step
    fails.
    """
    choice = choose(config.device)
    config = runnable(config, choice)
    if config.profile is not None and folder is None:
        raise ConfigError("a profiler's traces need a folder: run(config, folder=Path(…))")
    if config.engine == TRANSFORMERS:
        from idlescope.experiment import run_transformers

        return run_transformers.run(config, choice, progress, folder)
    from idlescope.experiment import run_own

    return run_own.run(config, choice, progress, folder, watched)


def runnable(config: RunConfig, choice: DeviceChoice) -> RunConfig:
    """Return a configuration with the modes that can be run on a device.

    Raises ConfigError for what cannot be run.
    """
    if config.engine == TRANSFORMERS:
        from idlescope.experiment import run_transformers

        run_transformers.check(config, choice)
        config = run_transformers.runnable(config, choice)
    choice.check(config)
    return config


def prepared(config: RunConfig, choice: DeviceChoice) -> RunConfig:
    """Return what will be run, once its workload is read and its KV cache fits.

    Raises ConfigError where it does not.
    """
    config = runnable(config, choice)
    kv_cache.shape(config, choice)
    return config
