"""The families as Prometheus wants them (extra `watch`: prometheus-client)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from idlescope.trace.unseen import spelled
from idlescope.watching.families import (
    Family,
    FamilyKind,
    HistogramFamily,
    Seen,
    SummaryFamily,
    families,
    histograms,
    summaries,
)
from idlescope.watching.state import WatchedProcess

MISSING = "prometheus-client is not installed: pip install 'idlescope[watch]'"


def load() -> None:
    """Import prometheus-client, if it is there: 40 ms that no scrape then takes of a loop."""
    with suppress(ImportError):
        import prometheus_client.exposition  # noqa: F401


def exposition(process: WatchedProcess, watches: Sequence[Seen]) -> tuple[bytes, str]:
    """Return the text of a scrape, and its content type. Raises ImportError without the extra."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector(process, watches))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Collector:
    """Implements prometheus-client's collector."""

    def __init__(self, process: WatchedProcess, watches: Sequence[Seen]) -> None:
        self._process = process
        self._watches = watches

    def describe(self) -> list[Any]:
        """Return nothing: names are as they are collected."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield everything."""
        for family in families(self._process, self._watches):
            if family.values:
                yield _plain(family)
        for summary in summaries(self._watches):
            if summary.values:
                yield _summary(summary)
        for histogram in histograms(self._watches):
            if histogram.values:
                yield _histogram(histogram)


def _plain(family: Family) -> Any:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    label_names = list(family.values[0][0])
    is_counter = family.kind is FamilyKind.COUNTER
    metric_type = CounterMetricFamily if is_counter else GaugeMetricFamily
    metric = metric_type(family.name, family.what, labels=label_names)
    for labels, value in family.values:
        metric.add_metric(list(map(spelled, labels.values())), value)
    return metric


def _summary(family: SummaryFamily) -> Any:
    from prometheus_client.core import SummaryMetricFamily

    metric = SummaryMetricFamily(family.name, family.what, labels=list(family.values[0][0]))
    for labels, count, sum_ns in family.values:
        metric.add_metric(list(map(spelled, labels.values())), count, sum_ns / 1e9)
    return metric


def _histogram(family: HistogramFamily) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    metric = HistogramMetricFamily(
        family.name, family.what, labels=list(family.values[0][0])
    )
    for labels, histogram in family.values:
        buckets = []
        reached = 0
        bounds = [str(bound / 1e9) for bound in histogram.bounds]
        for bound, count in zip((*bounds, "+Inf"), histogram.counts, strict=True):
            reached += count
            buckets.append((bound, reached))
        metric.add_metric(
            list(map(spelled, labels.values())), buckets, histogram.sum_ns / 1e9
        )
    return metric
