"""The page of several ranks has a lane for each: waiting has its own colour, many are folded."""

import numpy as np
import pytest

import idlescope
from idlescope.palette import RANK
from idlescope.report.page import page, timeline
from idlescope.report.page.content import Head, Page
from idlescope.report.page.rank_lanes import MOST_UNFOLDED, kept, rank_lanes
from idlescope.report.work_line import of_analysis
from tests.make.ranks import Job, job, write

MOST_BYTES = 5_000_000
STATES = list(RANK)


def analysed(folder, wanted):
    return idlescope.analyze(idlescope.open(write(folder, job(wanted).events)))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    late = tuple(300_000 if rank == 11 else 0 for rank in range(12))
    return analysed(tmp_path_factory.mktemp("ranks"), Job(12, late_ns=late))


def test_each_lane_shows_when_a_rank_waits_and_states_do_not_overlap(many):
    lanes = {lane.label: lane for lane in rank_lanes(many.group)}
    for rank, part in zip(many.group.ranks, many.group.waiting, strict=True):
        lane = lanes[rank.label]
        assert (lane.start[1:] >= lane.end[:-1]).all()
        waits = lane.name == STATES.index("waiting")
        assert int((lane.end - lane.start)[waits].sum()) == part.exposed_waiting_ns


def test_of_many_ranks_the_one_that_is_waited_for_is_not_folded(many):
    shown = [lane.label for lane in rank_lanes(many.group)[:MOST_UNFOLDED]]
    assert "rank 11" in shown
    packed = timeline.pack(of_analysis(many)[:1], many.group)
    first, further, _ = packed.document["items"]
    assert [lane["label"] for lane in first["lanes"]] == shown
    assert not first["folded"]
    assert further["folded"]
    assert len(further["lanes"]) == 12 - MOST_UNFOLDED


def test_what_a_page_can_hold_is_kept_about_the_longest_wait(many):
    lanes = rank_lanes(many.group)
    few = kept(lanes, 50)
    assert sum(lane.start.size for lane in few) <= 50
    assert any((lane.name == STATES.index("waiting")).any() for lane in few)
    whole = kept(lanes)
    assert sum(lane.start.size for lane in whole) == sum(lane.start.size for lane in lanes)


def test_ranks_of_several_hosts_stand_under_each_other(tmp_path):
    wanted = Job(2, late_ns=(200_000, 0), ahead_ns=(0, 50_000_000))
    lanes = rank_lanes(analysed(tmp_path, wanted).group)
    ends = [lane.end[-1] for lane in lanes]
    assert np.ptp(ends) == 0


def test_the_lanes_of_64_ranks_take_less_than_a_page(tmp_path):
    analysis = analysed(tmp_path, Job(64, steps=4, late_ns=(250_000, *[0] * 63)))
    packed = timeline.pack(of_analysis(analysis)[:1], analysis.group)
    assert len(packed.columns) < MOST_BYTES
    assert sum(len(item["lanes"]) for item in packed.document["items"][:2]) == 64


def test_further_ranks_are_unfolded_by_a_button(many, chromium, tmp_path):
    content = Page(
        head=Head("ranks", "the verdict", "as recorded"),
        columns=["rank 0"],
        rows=[],
        lines=of_analysis(many)[:1],
        warnings=[],
        command="idlescope analyze ranks",
        environment={},
        group=many.group,
    )
    page.write(content, tmp_path / "report.html")
    opened = chromium.new_page()
    opened.goto((tmp_path / "report.html").as_uri())
    opened.wait_for_selector("html.drawn")
    lanes = "idlescope.places.filter(({ item }) => item.ranks).length"
    assert opened.evaluate(lanes) == MOST_UNFOLDED
    opened.click("#go-ranks")
    assert opened.evaluate(lanes) == 12
    assert "4 further ranks" in opened.content()
    opened.close()
