"""The folder of a small run, which several files look at."""

from __future__ import annotations

import pytest

from idlescope.experiment.config import RunConfig
from idlescope.experiment.run import run
from idlescope.report import run_report
from tests.make.undrawn import timeline_alone


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """The folder of a small run of both modes."""
    made = tmp_path_factory.mktemp("run")
    made_run = run(RunConfig(tokens=40, device="modelled:h200", host_ms=2.0))
    with timeline_alone():
        run_report.write_run(made_run, made)
    return made
