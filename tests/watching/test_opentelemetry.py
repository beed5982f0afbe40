"""The same figures through OpenTelemetry."""

from __future__ import annotations

import pytest

import idlescope
from idlescope.watching import opentelemetry
from tests.make.watched_loops import MS, PretendedDevice, drive

metrics = pytest.importorskip("opentelemetry.sdk.metrics")


def test_what_is_observed_is_the_account():
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)
    drive(watch, device, 5)
    watch.settle()
    reader = InMemoryMetricReader()
    provider = metrics.MeterProvider([reader])
    opentelemetry.register(watch._runtime.source, provider)
    (of_resource,) = reader.get_metrics_data().resource_metrics
    (of_scope,) = of_resource.scope_metrics
    found = {
        (metric.name, tuple(sorted(point.attributes.items()))): point.value
        for metric in of_scope.metrics
        for point in metric.data.data_points
    }
    state = watch.seen().state
    busy = (("cause", ""), ("device", "0"), ("state", "busy"))
    assert found["idlescope_device_seconds", busy] == state.busy_ns / 1e9
    assert found["idlescope_tokens", (("device", "0"),)] == 20
    assert found["idlescope_step_count", (("device", "0"),)] == 5
    assert (
        found["idlescope_watch_info", next(k for n, k in found if n.endswith("info"))] == 1
    )
    provider.shutdown()
