"""A large folder of ranks: its files are analysed side by side, and put together as one story."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from idlescope.analysis.ranks import side_by_side
from idlescope.analysis.ranks.asked import RankOptions
from idlescope.trace import ranks_said

if TYPE_CHECKING:
    from idlescope.analysis.ranks.ranks_analysis import RanksAnalysis


def analyze_folder(
    folder: Path,
    paths: Sequence[Path],
    options: RankOptions,
    progress: Callable[[int], None] | None = None,
    cluster: str | None = None,
    remote_sizes: side_by_side.Sizes = side_by_side.NO_SIZES,
) -> RanksAnalysis | None:
    """Return the analysis of a folder of ranks.

    None where its devices are no ranks of one job, so that their traces are needed together: one
    device only, or several that may be one GPU. `cluster` is where Dask analyses the files
    (cluster.py); else processes of this machine do. `remote_sizes` are those of files behind URLs.
    `progress` is called with the number of files that are done. Raises TraceError where no file can
    be read.
    """
    paths, left_out = ranks_said.without_merged(paths)
    if cluster is None:
        outcomes = side_by_side.analyse_files(paths, options, progress, remote_sizes)
    else:
        from idlescope.analysis.ranks import cluster as dask_cluster

        outcomes = dask_cluster.analyse_files(cluster, paths, options, progress)
    if outcomes is None:
        return None

    # Not before: the processes that analyse have started meanwhile.
    from idlescope.analysis.ranks.ranks_analysis import put_together

    return put_together(folder, dict(zip(paths, outcomes, strict=True)), left_out)
