"""`idlescope predict`."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from idlescope.analysis.analyze import analyze, no_device
from idlescope.analysis.prediction.predict_device import predict_device
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.prediction.what_if import WhatIf
from idlescope.cli.status import counting
from idlescope.errors import TraceError
from idlescope.trace.open import open_trace


def predict_command(path: Path, what: WhatIf, window: str, as_json: bool) -> None:
    """Read, replay, print. Raises TraceError where not one device can be predicted."""
    console = Console(stderr=as_json)
    with console.status("reading") as status:
        trace = open_trace(path, counting(status, "reading", "events"))
        status.update("replaying")
        analysis = analyze(trace, window=window)
        made: list[Prediction] = []
        refused: list[str] = []
        for result in analysis.results:
            try:
                made.append(predict_device(trace, result, what))
            except TraceError as error:
                refused.append(str(error))
    if not made:
        raise TraceError("; ".join(refused) or no_device(trace))
    if as_json:
        from idlescope.report.tables.predictions import to_json
        from idlescope.report.text import to_text

        sys.stdout.write(to_text(to_json(analysis, made, refused)))
        return
    from idlescope.report.tables.predictions import table
    from idlescope.report.tables.terminal import plain

    for one in made:
        console.print(table(one))
        console.print(plain(one.text(), "bold"))
    for sentence in refused:
        console.print(plain(sentence, "yellow"))
