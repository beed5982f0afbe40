"""What the package returns draws itself, and shows itself in a notebook: by its public names alone."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

import idlescope
from tests.make.pages import HOSTILE, hostile_loop, loop


@pytest.fixture(scope="module")
def run():
    return idlescope.run(
        idlescope.RunConfig(model="tiny", device="modelled:h200", tokens=12, host_ms=1.0)
    )


@pytest.fixture(scope="module")
def analysis():
    return idlescope.analyze(loop())


@pytest.fixture(scope="module")
def sweep():
    return idlescope.sweep(["tiny"], ["modelled:h200"], [1, 2], [1.0], tokens=4)


@pytest.mark.parametrize(
    "picture", ["timeline", "host_cost", "causes", "gap_lengths", "idle_over_run"]
)
def test_an_analysis_a_run_and_a_mode_draw_themselves(run, analysis, picture):
    for work in (run, run.modes["sync"], analysis):
        drawn = getattr(work, picture)("what it is of")
        assert isinstance(drawn, Figure)
        assert drawn.axes
        assert getattr(work, picture).__doc__
        assert getattr(idlescope.figures, picture).__doc__


def test_a_sweep_and_a_comparison_draw_themselves(run, sweep):
    assert set(sweep.heat_maps()) == {"idle", "gain"}
    changed = idlescope.compare(run.modes["sync"].analysis, run.modes["async"].analysis)
    assert isinstance(changed.changes(), Figure)


def test_what_host_work_costs_is_refused_where_steps_cannot_be_replayed():
    with pytest.raises(idlescope.IdlescopeError, match="cannot be replayed"):
        idlescope.analyze(loop(1)).host_cost()


class Tags(HTMLParser):
    """The elements and the text of some HTML."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_each_shows_its_verdict_and_a_table_and_nothing_that_acts(run, analysis, sweep):
    hostile = idlescope.analyze(hostile_loop())
    hostile.source["path"] = HOSTILE[0]
    (prediction,) = idlescope.predict(analysis)
    changed = idlescope.compare(analysis, hostile)
    said = (
        (analysis, analysis.results[0].verdict.text),
        (analysis.results[0], analysis.results[0].verdict.text),
        (run.config, str(run.config.model)),
        (hostile, HOSTILE[0]),
        (run, run.statements.this_engine),
        (run.modes["sync"], run.modes["sync"].result.verdict.text),
        (sweep, sweep.answers()[0]),
        (prediction, prediction.text()),
        (changed, changed.verdict.text),
    )
    for shown, sentence in said:
        found = Tags(shown._repr_html_())
        assert sentence in found.text
        assert "table" in found.tags
        assert set(found.tags) <= {"p", "b", "table", "thead", "tbody", "tr", "th", "td"}


def test_people_are_shown_milliseconds(analysis):
    counted, shown = analysis.steps, idlescope.in_ms(analysis.steps)
    assert not [column for column in shown.columns if column.endswith("_ns")]
    assert (shown.idle_ms * 1e6 == counted.idle_ns).all()
    assert "idle_ns" in counted.columns
