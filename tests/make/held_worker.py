"""Preloaded by a Dask worker: it notes each file that it begins, and holds it while it is told to.

IDLESCOPE_HELD names a folder: a file for each start is written there, and work goes on once its
file `hold` is gone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from idlescope.analysis.ranks import cluster

FOLDER = "IDLESCOPE_HELD"


def dask_setup(_worker):
    """Hold the analysis of files in this worker."""
    folder = Path(os.environ[FOLDER])
    analyse = cluster.analyse_file

    def held(path, options):
        started = folder / f"{path.name}.{os.getpid()}"
        started.touch()
        while (folder / "hold").exists():
            time.sleep(0.02)
        return analyse(path, options)

    cluster.analyse_file = held
