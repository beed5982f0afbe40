"""The families as OpenTelemetry wants them (extra `otel`), through the application's own provider.

Instruments are observed when the application's reader collects. Of histograms there are the sum and
the count, since what was counted elsewhere cannot be observed as a histogram.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from idlescope import __version__
from idlescope.trace.unseen import spelled
from idlescope.watching.families import (
    Family,
    FamilyKind,
    Labels,
    Seen,
    families,
    histograms,
    summaries,
)
from idlescope.watching.state import WatchedProcess

Source = Callable[[], tuple[WatchedProcess, Sequence[Seen]]]


def register(source: Source, provider: Any = None) -> None:
    """Register instruments with a meter provider, the global one unless given.

    `source` is called at each collection. Raises ImportError without the extra.
    """
    from opentelemetry import metrics

    meters = metrics.get_meter_provider() if provider is None else provider
    meter = meters.get_meter("idlescope", __version__)
    process, watches = source()
    for family in _all_families(process, watches):
        make = meter.create_observable_counter
        if family.kind is FamilyKind.GAUGE:
            make = meter.create_observable_gauge
        unit = "s" if family.name.endswith("seconds") else ""
        make(
            family.name,
            callbacks=[_observer(source, family.name)],
            unit=unit,
            description=family.what,
        )


def _observer(source: Source, name: str) -> Callable[[Any], Iterable[Any]]:
    """Return the callback that observes one family."""

    def observe(_: Any) -> Iterable[Any]:
        from opentelemetry.metrics import Observation

        for family in _all_families(*source()):
            if family.name == name:
                for labels, value in family.values:
                    yield Observation(value, _spelled(labels))

    return observe


def _spelled(labels: Labels) -> dict[str, str]:
    return {label: spelled(value) for label, value in labels.items()}


def _all_families(process: WatchedProcess, watches: Sequence[Seen]) -> list[Family]:
    found = list(families(process, watches))
    for summary in summaries(watches):
        found += _sum_and_count(*summary)
    for histogram in histograms(watches):
        values = [(labels, seen.count, seen.sum_ns) for labels, seen in histogram.values]
        found += _sum_and_count(histogram.name, histogram.what, values)
    return found


def _sum_and_count(
    name: str, what: str, values: Sequence[tuple[Labels, int, int]]
) -> list[Family]:
    base = name.removesuffix("_seconds")
    sums = [(labels, sum_ns / 1e9) for labels, _, sum_ns in values]
    counts = [(labels, float(count)) for labels, count, _ in values]
    return [
        Family(f"{base}_sum_seconds", FamilyKind.COUNTER, f"{what} The sum.", sums),
        Family(f"{base}_count", FamilyKind.COUNTER, f"{what} The count.", counts),
    ]
