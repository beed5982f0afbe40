"""A sweep in one call: the grid, its cells, and what they say; public as `idlescope.sweep`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idlescope.analysis.drawn import figures
from idlescope.analysis.notebook import shown
from idlescope.experiment import answers
from idlescope.experiment.answers import Row
from idlescope.experiment.cells import Cell, grid
from idlescope.experiment.sweep import sweep as run_cells

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Sweep:
    """The cells of a grid that were run, in the order of the grid."""

    cells: tuple[Cell, ...]

    @cached_property
    def rows(self) -> list[Row]:
        """Return a row per cell and mode: those of table.csv."""
        return answers.rows(self.cells)

    def answers(self) -> list[str]:
        """Return sentences: from which batch size on each device stops idling."""
        return answers.answers(self.rows)

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(answers.COLUMNS))

    def heat_maps(self) -> dict[str, Figure]:
        """Draw the grid: `idle`, in %, and `gain` where both modes were run; matplotlib Figures."""
        return figures().heat_maps(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the answers, and a row per cell that was run."""
        done = [row for row in self.rows if row["idle_pct"] is not None]
        rows = [
            (
                f"{row['model']} on {row['device']}, batch {row['batch_size']}, {row['mode']}",
                f"{row['host_ms_per_step']:.3f} ms",
                f"{row['device_ms_per_step']:.3f} ms",
                f"{row['idle_pct']:.2f} %",
                "–" if row["speedup"] is None else f"{row['speedup']:.2f}",
            )
            for row in done
        ]
        columns = ("", "host work per step", "device work per step", "idle", "times faster")
        verdict = f"Sweep of {len(self.cells)} cells, {len(done)} rows"
        return shown(verdict, columns, rows, self.answers())

    def __repr__(self) -> str:
        return f"<Sweep of {len(self.cells)} cells: {' '.join(self.answers())}>"


def sweep(
    models: Iterable[str],
    devices: Iterable[str] = ("auto",),
    batches: Iterable[int] = (1, 8, 32, 128),
    hosts: Iterable[float | None] = (None,),
    folder: str | Path | None = None,
    jobs: int = 1,
    **options: Any,
) -> Sweep:
    """Run every combination of models, devices, batch sizes and host times per step (ms).

    A host time of None is measured. `options` are those of RunConfig that all cells share. Cells
    are kept in `folder`, which is made; without one, nowhere. Up to `jobs` cells run at once where
    nothing is measured. A cell that cannot be run or fails is in the result with its reason. Raises
    ConfigError for a combination that no run may have.
    """
    configs = grid(models, devices, hosts, batches, **options)
    with tempfile.TemporaryDirectory(prefix="idlescope-") as scratch:
        cells_folder = Path(scratch if folder is None else folder)
        cells_folder.mkdir(parents=True, exist_ok=True)
        measured_cells = {
            cell.config: cell for cell in run_cells(configs, cells_folder, jobs)
        }
    return Sweep(tuple(measured_cells[config] for config in configs))
