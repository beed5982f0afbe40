"""A recording of a watch is read as any other, and says how it was made."""

from __future__ import annotations

import numpy as np
import pytest

import idlescope
from idlescope.errors import OutputExistsError
from idlescope.report.work_line import device_labels
from idlescope.trace.open import open_trace
from idlescope.watching import foresight, recording
from idlescope.watching.foresight import Foresight, elsewhere, here
from idlescope.watching.ring import Ring
from idlescope.watching.rows import Taken, chosen
from tests.make.watched_loops import MS, PretendedDevice, drive, regular_rows, regular_trace


@pytest.fixture
def recorded(tmp_path):
    return open_trace(recording.write(regular_trace(40, rank=3), tmp_path / "recording"))


def test_analyze_reads_it_and_finds_the_steps_as_the_watch_saw_them(recorded):
    device = idlescope.analyze(recorded).results[0]
    assert device.steps.found == "idlescope spans"
    assert len(device.steps) == 40
    assert device.batching.kind == "synchronous"
    assert device.idle_pct == pytest.approx(40, abs=1)
    assert set(device.steps.kind.tolist()) == {2}  # decode
    assert device.host_ns["prepare"] == 39 * 1_490_000


def test_another_process_writes_the_same(recorded, tmp_path):
    trace = regular_trace(40, rank=3)
    elsewhere_folder = recording.write_elsewhere(trace, tmp_path / "elsewhere")
    written = {path.name: path.read_bytes() for path in elsewhere_folder.iterdir()}
    here_folder = tmp_path / "recording"
    assert written == {path.name: path.read_bytes() for path in here_folder.iterdir()}
    with pytest.raises(OSError, match="elsewhere"):
        recording.write_elsewhere(trace, elsewhere_folder)


def test_predict_replays_it(recorded):
    (prediction,) = idlescope.predict(idlescope.analyze(recorded))
    assert prediction.recorded.step_ns == pytest.approx(5 * MS)
    assert prediction.predicted.step_ns == pytest.approx(3 * MS, rel=0.05)
    assert prediction.recorded.tokens == 160


def test_compare_reads_it(recorded):
    analysis = idlescope.analyze(recorded)
    assert idlescope.compare(analysis, analysis)


def test_it_says_by_which_way_it_was_watched_and_what_that_cannot_see(recorded):
    assert recorded.meta.extra["source"] == "idlescope watch"
    assert recorded.meta.extra["way"] == "events"
    assert recorded.meta.extra["engine"] == "vllm"
    assert recorded.meta.distributed == {"rank": 3}
    warnings = idlescope.analyze(recorded).warnings
    assert "watched by events: kernels are not told apart" in warnings


def test_times_begin_at_zero_and_the_wall_clock_of_that_is_kept(recorded):
    assert int(recorded.ranges.start.min()) == 0
    assert recorded.meta.epoch_ns == 10**18 + 1_000 * MS


def test_what_is_not_known_in_full_is_left_out():
    kept = regular_rows(5)
    assert len(regular_trace(5).operations) == 5
    assert kept.rows == 5 * 6


def test_the_last_steps_tell_what_asynchronous_batching_would_give():
    told = Foresight().look(lambda: regular_trace(40), 40, here)
    assert told.batching == "synchronous"
    assert told.gain is not None
    assert told.gain.step_ns == 5 * MS
    assert told.gain.predicted_step_ns == pytest.approx(3 * MS, rel=0.05)
    assert told.gain.saved_pct == pytest.approx(40, abs=3)


def test_it_is_not_looked_again_for_a_while():
    foresight, looked = Foresight(), []

    def trace():
        looked.append(1)
        return regular_trace(40)

    for _ in range(3):
        foresight.look(trace, 40, here)
    assert len(looked) == 1


def test_another_process_tells_the_same(monkeypatch):
    trace = regular_trace(40)
    told, found = here(trace), elsewhere(trace)
    assert found.gain is not None
    assert found._replace(gain=None) == told._replace(gain=None)
    assert found.gain.predicted_step_ns == told.gain.predicted_step_ns


def test_an_analysis_that_fails_elsewhere_is_told(monkeypatch):
    monkeypatch.setattr(foresight, "__name__", "idlescope.none_such")
    found = elsewhere(regular_trace(4))
    assert found.gain is None
    assert "the analysis did not succeed" in found.note


def test_the_ring_holds_the_last_steps_and_forgets_the_others():
    ring = Ring(20)
    rows = regular_rows(100)
    for first in range(0, 100, 10):
        part = [
            chosen(table, (table[key] >= first) & (table[key] < first + 10))
            for table, key in zip(rows[:2], ("number", "step"), strict=True)
        ]
        nothing = chosen(rows.phases, np.zeros(0, np.int64))
        of_part = chosen(rows.operations, part[0]["number"])
        ring.add(Taken(*part, nothing), of_part)
    assert ring.tables().steps["number"].tolist() == list(range(80, 100))
    assert ring.tables(5).steps["number"].tolist() == list(range(95, 100))
    assert int(ring.tables(5).calls["step"].min()) == 95
    assert len(ring._kept) == 2


def test_a_watch_records_into_a_folder_that_is_free_and_only_there(tmp_path):
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device)
    drive(watch, device, 6)
    folder = watch.record(tmp_path / "mine")
    assert len(open_trace(folder).operations) == 6
    with pytest.raises(OutputExistsError):
        watch.record(tmp_path / "mine")


def test_so_many_recordings_are_kept_and_nothing_else_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("IDLESCOPE_WATCH_RECORDINGS", "2")
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device, folder=tmp_path)
    other = tmp_path / "recordings" / "watched-by-hand"
    other.mkdir(parents=True)
    drive(watch, device, 6)
    written = [watch.record() for _ in range(3)]
    assert [path.exists() for path in written] == [False, True, True]
    assert other.exists()
    assert watch.state().recordings == [str(path) for path in written[1:]]


def test_a_host_without_device_times_is_recorded_too(tmp_path):
    watch = idlescope.watch(way="host")
    for _ in range(5):
        with watch.step(tokens=1), idlescope.range("prepare"):
            pass
    trace = open_trace(watch.record(tmp_path / "host"))
    assert len(trace.ranges) == 10
    assert any("cannot be told" in warning for warning in trace.meta.warnings)


def test_two_servers_of_a_folder_that_are_both_rank_0_are_told_apart(tmp_path):
    """One GPU, or two of one name: their devices are called alike."""
    for name, steps in (("one", 40), ("other", 39)):
        recording.write(regular_trace(steps, rank=0), tmp_path / "both" / name)
    analysis = idlescope.analyze(open_trace(tmp_path / "both"))
    called = ["0 a GPU, rank 0 (one)", "0 a GPU, rank 0 (other)"]
    assert device_labels(analysis.results) == called
    (alone,) = idlescope.analyze(open_trace(tmp_path / "both" / "one")).results
    assert device_labels([alone]) == ["0 a GPU"]
