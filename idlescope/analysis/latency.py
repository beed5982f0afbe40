"""How long users waited: time to first token, time per output token, and latency, over a run."""

from __future__ import annotations

import numpy as np

from idlescope.trace.table import Float64, Int64

PERCENTILES = (50, 90, 99)
Figures = dict[str, float]  # "mean", "p50", "p90", "p99", in milliseconds


def latencies(
    arrival: Int64, first_token: Int64, finished: Int64, tokens: Int64
) -> dict[str, Figures | None]:
    """Return the figures of the requests that finished; a figure is None where no request has it.

    Arrays have an entry per request: when it arrived, when its first and its last token were on the
    host, in ns, and how many tokens it was given. Time per output token is the mean time between
    the tokens of one request after its first; a request of one token has none.
    """
    several = tokens > 1
    after_first = (finished - first_token)[several]
    per_token = after_first / (tokens[several] - 1)
    return {
        "ttft_ms": summarise((first_token - arrival) / 1e6),
        "time_per_output_token_ms": summarise(per_token / 1e6),
        "latency_ms": summarise((finished - arrival) / 1e6),
    }


def summarise(values: Float64) -> Figures | None:
    """Return the mean and the percentiles of values; None of none.

    The p-th percentile of n ascending values is the one at rank (n - 1) * p / 100, from 0,
    interpolated linearly between ranks, as numpy does.
    """
    if not values.size:
        return None
    figures = {"mean": float(np.mean(values))}
    percentiles = np.percentile(values, PERCENTILES, method="linear")
    for percentile, value in zip(PERCENTILES, percentiles, strict=True):
        figures[f"p{percentile}"] = float(value)
    return figures
