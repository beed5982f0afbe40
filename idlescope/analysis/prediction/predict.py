"""Predict what each device of an analysed trace would do: the public face of predictions."""

from __future__ import annotations

from typing import Any

from idlescope.analysis.prediction.outcome import Outcome
from idlescope.analysis.prediction.predict_device import predict_device
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.prediction.what_if import WhatIf
from idlescope.analysis.result import Analysis, DeviceResult


def predict(analysis: Analysis, **what: Any) -> tuple[Prediction, ...]:
    """Return what each device of an analysed trace would do; `what` are the fields of `WhatIf`.

    Raises TraceError where a device's trace cannot tell, ConfigError for what cannot be asked.
    """
    asked = WhatIf(**what)
    return tuple(
        predict_device(result.view.trace, result, asked) for result in analysis.results
    )


def asynchronous(result: DeviceResult) -> Outcome | None:
    """Return what asynchronous batching would take.

    Returns None where it cannot be told, or where the trace is of that already.
    """
    prediction = result.prediction
    if prediction is None or prediction.depth == prediction.what.depth:
        return None
    return prediction.predicted
