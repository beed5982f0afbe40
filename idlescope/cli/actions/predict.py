"""What `idlescope predict` does."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from idlescope.analysis.analyze import analyze
from idlescope.analysis.no_device import no_device
from idlescope.analysis.prediction.predict_device import predict_device
from idlescope.analysis.prediction.prediction import WORTH, Prediction
from idlescope.analysis.prediction.what_if import WhatIf
from idlescope.cli.next_command import show_next
from idlescope.cli.status import counting, status_line
from idlescope.errors import TraceError
from idlescope.report.tables.predictions import table, to_json
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text
from idlescope.trace.open import open_trace


def predict_command(
    path: Path,
    mode: str | None,
    what: WhatIf,
    window: str,
    step_ms: float | None,
    as_json: bool,
) -> None:
    """Read, replay, print. Raises TraceError where not one device can be predicted."""
    console = Console(stderr=as_json)
    predictions: list[Prediction] = []
    refused: list[str] = []
    with status_line(console, "reading") as status:
        opened_trace = open_trace(path, counting(status, "reading", "events"), mode=mode)
        status.update("replaying")
        analysis = analyze(opened_trace, window=window, step_ms=step_ms)
        for result in analysis.results:
            try:
                predictions.append(predict_device(result.view.trace, result, what))
            except TraceError as error:
                refused.append(str(error))
    if not predictions:
        raise TraceError("; ".join(refused) or no_device(opened_trace))
    if as_json:
        sys.stdout.write(to_text(to_json(analysis, predictions, refused)))
        return
    for prediction in predictions:
        console.print(plain(prediction.text(), "bold"))
    for sentence in refused:
        console.print(plain(sentence, "yellow"))
    for prediction in predictions:
        console.print()
        console.print(table(prediction, console.width))
    console.print()
    _show_next(console, path, mode, predictions[0])


def _show_next(
    console: Console, path: Path, mode: str | None, prediction: Prediction
) -> None:
    """Print the change that would save most on top, where one would; else how to see the trace."""
    chosen = [path] if mode is None else [path, "--mode", mode]
    so_far = prediction.predicted
    best = max(
        prediction.levers, key=lambda lever: lever.predicted.less_than(so_far), default=None
    )
    if best is None or best.predicted.less_than(so_far) < WORTH:
        show_next(console, ["view", *chosen], "shows the timeline in a browser")
        return
    show_next(console, ["predict", *chosen, *best.change.words()], f"with {best.name}")
