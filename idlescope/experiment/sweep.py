"""Run every cell of a grid, and keep each as it ends: a stopped sweep goes on where it was.

Cells whose times are all fixed by their configuration run side by side, each in a process of its
own. Where time is really measured (a CPU, a CUDA device, the host of a modelled GPU with the
profile `measured-here`) another cell beside it would change it: those run alone, one after the
other, in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from idlescope.engine.loop import described
from idlescope.errors import ConfigError
from idlescope.experiment.cell_pool import CellPool
from idlescope.experiment.cells import Cell, CellState, is_fixed, keep, place
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice import kv_cache
from idlescope.experiment.device_choice.choose import choose
from idlescope.experiment.device_choice.cuda import free_memory
from idlescope.experiment.progress import Running
from idlescope.experiment.run import run

# Steps that nobody looks at: Python specialises its code as it runs, so that the first steps would
# cost the host more.
WARM_UP = RunConfig(model="tiny", device="modelled:h200", batch_size=8, tokens=300)
Progress = Callable[[RunConfig, str, Running], None]


def sweep(
    configs: Sequence[RunConfig],
    folder: Path,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Iterator[Cell]:
    """Run cells and yield each when it has ended and is kept in `folder`, which is there.

    Up to `jobs` cells whose times are fixed run at once; then the others, alone. `progress` is
    called after the steps of a cell that runs in this process. A cell that cannot be run or fails
    is yielded like any other. Ctrl-C (KeyboardInterrupt) and an end of the iteration stop what is
    running, and that is not kept.
    """
    fixed_configs = [config for config in configs if is_fixed(config)]
    measured = [config for config in configs if not is_fixed(config)]
    jobs = min(jobs, len(fixed_configs))
    if jobs > 1:
        measured_cells = _side_by_side(fixed_configs, jobs)
    else:
        measured_cells = (measure(config, progress) for config in fixed_configs)
    for sweep_cell in measured_cells:
        keep(sweep_cell, place(sweep_cell.config, folder))
        yield sweep_cell
    if measured:
        run(WARM_UP)
    for config in measured:
        sweep_cell = measure(config, progress)
        keep(sweep_cell, place(config, folder))
        yield sweep_cell


def measure(config: RunConfig, progress: Progress | None = None) -> Cell:
    """Run a cell here; what keeps it from running is said in it.

    Raises KeyboardInterrupt where that stopped it.
    """
    try:
        problem = kv_cache.misfit(config, choose(config.device))
        if problem is not None:
            return Cell(config, CellState.REFUSED, problem, None)
        result = run(config, None if progress is None else partial(progress, config))
        if result.interrupted:
            raise KeyboardInterrupt
        return Cell(config, CellState.DONE, None, result.summary())
    except ConfigError as error:
        sweep_cell = Cell(config, CellState.REFUSED, str(error), None)
    except Exception as error:  # whatever it is, the other cells can be run
        sweep_cell = Cell(config, CellState.FAILED, described(error), None)
    free_memory()  # the error, which knew of all that was in use, is gone by now
    return sweep_cell


def _side_by_side(configs: Sequence[RunConfig], jobs: int) -> Iterator[Cell]:
    """Run cells in so many processes; yield them as they end."""
    pool = CellPool(configs, jobs)
    try:
        yield from pool.cells()
    finally:
        pool.close()
