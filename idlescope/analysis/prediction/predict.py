"""What each device of an analysed trace would do: the public face of predictions."""

from __future__ import annotations

from typing import Any

from idlescope.analysis.prediction.forecast import Forecast, forecast
from idlescope.analysis.prediction.what_if import Prediction, WhatIf
from idlescope.analysis.result import Analysis, DeviceResult


def asynchronous(result: DeviceResult) -> Prediction | None:
    """Return what asynchronous batching would take; None where it cannot be told, or the trace is of that already."""
    found = result.prediction
    return None if found is None or found.depth == found.what.depth else found.predicted


def predict(analysis: Analysis, **what: Any) -> tuple[Forecast, ...]:
    """Return what each device of an analysed trace would do; `what` are the fields of `WhatIf`.

    Raises TraceError where a device's trace cannot tell, ConfigError for what cannot be asked.
    """
    return tuple(forecast(analysis.trace, result, WhatIf(**what)) for result in analysis.results)
