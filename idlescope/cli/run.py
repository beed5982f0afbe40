"""`idlescope run`."""

from __future__ import annotations

from typing import Any

from idlescope.cli.options import AsJson, Force, Out, Output, Verbose
from idlescope.cli.run_options import of_config, values, with_options


@with_options(of_config())
def run(
    out: Out = None,
    force: Force = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Run continuous batching, synchronous and asynchronous, and show where the GPU's time went.

    Writes a report, figures, Perfetto traces and recordings to reports/NAME or --out.
    """
    from idlescope.cli.actions.run import run_command
    from idlescope.experiment.config import RunConfig

    run_command(RunConfig(**values(options)), Output(out, force, as_json, verbose))
