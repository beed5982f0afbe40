"""XLA's profiles, `.xplane.pb` and JSON: the same program gives the same trace; damage is told."""

from __future__ import annotations

import lzma
import random

import pytest

import idlescope
from idlescope.errors import TraceError
from idlescope.trace.open import open_trace
from tests.conftest import FIXTURES
from tests.fuzz.reference import union
from tests.make import protobuf, xla_files
from tests.make.known_work import (
    ANNOTATION,
    Known,
    Span,
    assert_holds,
    linked_names,
    steps,
)
from tests.shared_formats import real

START = 1_000_000_000  # profiles are relative to their start


def program(**options):
    return steps(base=START, **options).renamed(xla_files.NAMES)


WRITERS = {
    "host.xplane.pb": xla_files.xplane,
    "host.trace.json.gz": xla_files.trace_json,
    "host.trace.json": xla_files.trace_json,
}


@pytest.fixture(params=WRITERS)
def write(request):
    return lambda folder, known: WRITERS[request.param](folder / request.param, known)


class TestWhatItHolds:
    @pytest.mark.parametrize("devices", [1, 2])
    def test_every_record_and_figure_is_that_of_the_program(self, tmp_path, write, devices):
        known = program(devices=devices)
        trace = open_trace(write(tmp_path, known))
        assert trace.meta.format == "xla"
        assert not trace.meta.warnings
        assert_holds(trace, known)

    def test_what_jax_calls_a_step_is_one(self, tmp_path, write):
        known = program()
        schedules = [span for span in known.spans if span.name == "schedule"]
        known.spans[:] = [
            Span(span.start - 100, span.start + 230_000, "decode", ANNOTATION)
            for span in schedules
        ]
        (result,) = idlescope.analyze(open_trace(write(tmp_path, known))).results
        assert result.steps.found == "step annotations"
        assert len(result.steps) == len(schedules)

    def test_python_frames_lose_their_mark_and_can_be_left_out(self, tmp_path, write):
        known = program()
        known.spans.append(Span(START, START + 5, "$loop.py:3 run"))
        path = write(tmp_path, known)
        assert "loop.py:3 run" in open_trace(path).names
        assert "loop.py:3 run" not in open_trace(path, frames=False).names

    def test_instants_are_left_out(self, tmp_path, write):
        known = program()
        count = len(known.spans)
        known.spans.append(Span(START, START, "ThreadpoolListener::StartRegion"))
        assert len(open_trace(write(tmp_path, known)).ranges) == count

    def test_the_same_twice_in_a_folder_is_read_once(self, tmp_path):
        known = program()
        xla_files.xplane(tmp_path / "vm.xplane.pb", known)
        xla_files.trace_json(tmp_path / "vm.trace.json.gz", known)
        assert len(open_trace(tmp_path).operations) == len(known.work)

    def test_the_newest_session_of_a_log_folder_is_opened(self, tmp_path):
        for name, count in (("2026_01_01", 2), ("2026_02_01", 3)):
            folder = tmp_path / "plugins" / "profile" / name
            folder.mkdir(parents=True)
            xla_files.xplane(folder / "vm.xplane.pb", program(count=count))
        assert len(open_trace(tmp_path).operations) == 3 * 5

    def test_the_profile_says_when_it_began_and_whose_it_is(self, tmp_path):
        trace = open_trace(xla_files.xplane(tmp_path / "a.pb", program()))
        assert trace.meta.session_start_ns == 1_771_595_650_217_823_548
        (device,) = trace.devices
        assert (device.name, device.process_name) == ("NVIDIA H200", str(xla_files.PROCESS))

    def test_picoseconds_are_rounded_to_the_nearest_nanosecond(self, tmp_path):
        plane = [
            (2, "/device:GPU:0"), (4, [(1, 1), (2, [(1, 1), (2, "k")])]),
            (3, [(2, "Stream #1(Kernel)"), (3, 1_000), (4, [(1, 1), (2, 1_499), (3, 2_200)])]),
        ]  # fmt: skip
        path = tmp_path / "a.xplane.pb"
        path.write_bytes(protobuf.message([(1, plane)]))
        operations = open_trace(path).operations
        assert (operations.start.tolist(), operations.end.tolist()) == ([1_001], [1_004])

    def test_operations_of_a_tpu_are_those_of_xla(self, tmp_path):
        plane = xla_files.Plane("/device:TPU:0")
        for line in ("XLA Ops", "XLA Modules", "Steps"):
            plane.add(line, "fusion.1", START, START + 50, {})
        path = tmp_path / "a.xplane.pb"
        path.write_bytes(protobuf.message([(1, plane.encoded({}))]))
        assert len(open_trace(path).operations) == 1


class TestDamage:
    @pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
    def test_of_a_file_that_was_cut_off_what_is_there_is_read(self, tmp_path, share):
        path = xla_files.xplane(tmp_path / "a.xplane.pb", program(count=40))
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        try:
            assert open_trace(path).meta.truncated
        except TraceError as error:  # names stand behind the lines of a plane
            assert "\n" not in str(error)  # noqa: PT017

    @pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
    def test_json_that_was_cut_off_is_one_sentence(self, tmp_path, share):
        for name in ("a.trace.json", "a.trace.json.gz"):
            path = xla_files.trace_json(tmp_path / name, program(count=40))
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
            with pytest.raises(TraceError, match=r"is damaged \(.*xplane\.pb"):
                open_trace(path)

    def test_bytes_that_changed_end_in_figures_or_a_sentence(self, tmp_path):
        sound = xla_files.space(program(count=2))
        path = tmp_path / "a.xplane.pb"
        for seed in range(300):
            dice = random.Random(seed)
            changed = bytearray(sound)
            for _ in range(dice.randint(1, 4)):
                changed[dice.randrange(len(changed))] = dice.randrange(256)
            path.write_bytes(b"\n" + changed[1:])
            try:
                open_trace(path)
            except TraceError as error:
                assert len(str(error)) < 2_000  # noqa: PT017

    def test_times_that_cannot_be_true_are_left_out_and_counted(self, tmp_path):
        known = program()
        known.work[3] = known.work[3]._replace(end=known.work[3].end + 10**15)
        trace = open_trace(xla_files.xplane(tmp_path / "a.pb", known))
        assert trace.meta.lost == {"operations": 1}

    def test_a_million_events_mean_that_there_were_more(self, tmp_path, monkeypatch):
        from idlescope.trace.xla import trace_json

        monkeypatch.setattr(trace_json, "MOST_EVENTS", 10)
        trace = open_trace(xla_files.trace_json(tmp_path / "a.trace.json", program()))
        assert trace.meta.truncated
        assert "xplane.pb" in trace.meta.warnings[0]

    def test_a_profile_of_a_cpu_says_that_there_is_no_device(self, tmp_path, write):
        known = program()
        known.work.clear()
        known.calls.clear()
        with pytest.raises(
            TraceError, match=r"holds no device operations.*jax\.profiler\.trace"
        ):
            idlescope.analyze(open_trace(write(tmp_path, known)))

    def test_an_empty_profile_is_one_sentence(self, tmp_path, write):
        with pytest.raises(TraceError, match="holds no events"):
            open_trace(write(tmp_path, Known()))


@pytest.mark.parametrize("name", ["tl_jax08_gemm.xplane.pb", "tl_jax_conv.xplane.pb"])
def test_a_real_file_has_the_figures_of_a_brute_force_count(name):
    path = real(name)
    trace = open_trace(path)
    truth = brute_force(path.read_bytes())
    results = idlescope.analyze(trace).results
    assert {result.device.index: result.occupancy.active_ns for result in results} == {
        device: union(spans) for device, spans in truth.items()
    }
    assert all(linked_names(trace))


def test_a_profile_that_jax_made_here_is_read():
    """A file of JAX 0.10.2 on a CPU, three steps: tests/fixtures/README.md."""
    path = FIXTURES / "jax_cpu.xplane.pb"
    trace = open_trace(path)
    names = [trace.names[name] for name in trace.ranges.name]
    assert names.count("decode") == 3
    assert sorted(trace.ranges.step[trace.ranges.step >= 0].tolist()) == [0, 1, 2]
    assert "sample" in names
    beside = open_trace(path.with_name("jax_cpu.trace.json.gz"))
    assert sorted(names) == sorted(beside.names[name] for name in beside.ranges.name)


def test_a_profile_that_jax_made_on_an_h200_is_read_whole():
    """Each operation has its call, copies too, which the host calls by their direction."""
    path = FIXTURES / "jax_h200.xplane.pb.xz"
    trace = open_trace(path)
    (result,) = idlescope.analyze(trace).results
    (spans,) = brute_force(lzma.decompress(path.read_bytes())).values()
    assert result.occupancy.active_ns == union(spans) == 1_396_117
    assert result.gaps.totals() == {"host": 44_126_025, "launch": 2_962_062, "queued": 33_092, "unattributed": 0}  # fmt: skip
    assert (result.coverage.linked_pct, len(result.steps)) == (100, 10)
    # its host slices each of 32 tokens out of an array: 3.8 ms a step without the profiler
    assert "ran dry before the host" in result.verdict.text


def brute_force(content):
    """The spans of each GPU of an XSpace message, by a slow walk of its own."""

    def walk(data):
        place = 0
        while place < len(data):
            key, place = number(data, place)
            if key & 7 == 0:
                value, place = number(data, place)
            elif key & 7 == 2:
                length, place = number(data, place)
                value, place = data[place : place + length], place + length
            else:
                size = 8 if key & 7 == 1 else 4
                value, place = data[place : place + size], place + size
            yield key >> 3, value

    def number(data, place):
        total = shift = 0
        while True:
            total |= (data[place] & 127) << shift
            shift += 7
            place += 1
            if data[place - 1] < 128:
                return total, place

    devices = {}
    for _, plane in ((key, value) for key, value in walk(content) if key == 1):
        fields = list(walk(plane))
        name = next(value.decode() for key, value in fields if key == 2)
        if not name.startswith("/device:GPU:"):
            continue
        for line in (list(walk(value)) for key, value in fields if key == 3):
            said = dict(line)
            if not said[2].startswith(b"Stream"):
                continue
            for event in (dict(walk(value)) for key, value in line if key == 4):
                start = said.get(3, 0) * 1000 + event.get(2, 0)
                span = (start + 500) // 1000, (start + event.get(3, 0) + 500) // 1000
                devices.setdefault(int(name.rpartition(":")[2]), []).append(span)
    return devices
