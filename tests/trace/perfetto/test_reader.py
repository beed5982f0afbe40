"""Perfetto traces of rocprofv3 and torch.profiler: the same program, the same trace; others are refused."""

from __future__ import annotations

import gzip
import random

import pytest

import idlescope
from idlescope.errors import TraceError
from idlescope.trace.model import RangeKind
from idlescope.trace.open import open_trace
from tests.make import perfetto_files, protobuf
from tests.make.known_work import (
    BASE,
    Known,
    Span,
    Work,
    assert_figures,
    assert_holds,
    steps,
)
from tests.make.perfetto_files import packet, rocprof, stages, torch, track, written
from tests.make.rocprof_files import FILL


def amd(**options):
    return steps(fill=FILL, **options)


def nvidia(**options):
    return steps(**options).renamed(perfetto_files.TORCH_NAMES)


CASES = {"rocprofv3": (amd, rocprof, "rocprof"), "torch": (nvidia, torch, "kineto")}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


class TestWhatItHolds:
    @pytest.mark.parametrize("devices", [1, 2])
    def test_every_record_and_figure_is_that_of_the_program(self, tmp_path, case, devices):
        program, write, format_name = case
        known = program(devices=devices)
        path = written(tmp_path / "a.pftrace", write(known))
        trace = open_trace(path)
        assert trace.meta.format == format_name
        assert not trace.meta.warnings
        assert_holds(trace, known)
        packed = written(tmp_path / "a.pftrace.gz", gzip.compress(path.read_bytes()))
        assert_figures(open_trace(packed), known)

    def test_an_incremental_clock_of_a_sequence_is_followed(self, tmp_path):
        known = amd(count=1)
        # each call with what it launched, so that times only rise
        known.calls.sort()
        known.spans.clear()
        known.work[:] = known.work[:1]
        known.calls[:] = known.calls[:1]
        content = rocprof(known, clock=64, base=BASE - 1_000)
        trace = open_trace(written(tmp_path / "a.pftrace", content))
        assert trace.calls.start.tolist() == [known.calls[0].start]
        assert trace.calls.end.tolist() == [known.calls[0].end]

    def test_nested_slices_written_as_they_happen_close_from_within(self, tmp_path):
        events = [(10, 1, "outer"), (20, 1, "inner"), (30, 2, ""), (40, 2, "")]
        packets = [
            packet(
                (8, BASE + time),
                (11, [(9, kind), (11, 5), *([(23, name)] if name else [])]),
            )
            for time, kind, name in events
        ]
        call = protobuf.message(packets) + torch(Known(calls=nvidia().calls[:1]))
        trace = open_trace(written(tmp_path / "a.pftrace", call))
        spans = {
            trace.names[name]: (start - BASE, end - BASE)
            for name, start, end in zip(
                trace.ranges.name,
                trace.ranges.start.tolist(),
                trace.ranges.end.tolist(),
                strict=True,
            )
        }
        assert spans == {"outer": (10, 40), "inner": (20, 30)}

    def test_stages_of_newer_torch_are_operations_without_names(self, tmp_path):
        known = nvidia()
        calls = Known(calls=known.calls)
        trace = open_trace(written(tmp_path / "a.pftrace", torch(calls) + stages(known)))
        assert_figures(trace, known)
        assert {trace.names[name] for name in trace.operations.name} == {
            "Kernel",
            "Memcpy",
            "Memset",
        }
        assert any("export .json for names" in warning for warning in trace.meta.warnings)

    def test_what_torch_draws_on_a_stream_is_no_work(self, tmp_path):
        known = nvidia()
        extra = torch(known) + protobuf.message([
            packet((8, BASE), (11, [(9, 1), (11, 500), (23, "Stream Sync"), perfetto_files.note("cuda_sync_kind", "Stream Sync")])),
            packet((8, BASE + 10**7), (11, [(9, 2), (11, 500)])),
        ])  # fmt: skip
        assert_figures(open_trace(written(tmp_path / "a.pftrace", extra)), known)

    def test_kinds_of_ranges_are_told(self, tmp_path):
        known = nvidia()
        known.spans[:] = [
            Span(BASE, BASE + 9, "loop.py(3): run", RangeKind.FRAME),
            Span(BASE, BASE + 9, "aten::mm", RangeKind.OPERATOR),
            Span(BASE, BASE + 9, "decode", RangeKind.ANNOTATION),
        ]
        assert_holds(open_trace(written(tmp_path / "a.pftrace", torch(known))), known)
        few = open_trace(tmp_path / "a.pftrace", frames=False)
        assert [few.names[name] for name in few.ranges.name] == ["decode"]


class TestWhatItRefuses:
    def test_a_trace_of_something_else_says_what_to_give(self, tmp_path):
        content = protobuf.message(
            [track(1, "main", 5, 5), packet((8, 10), (11, [(9, 1), (11, 1), (23, "x")]))]
        )
        with pytest.raises(
            TraceError, match=r"without operations or calls of a GPU.*rocpd"
        ):
            open_trace(written(tmp_path / "a.pftrace", content))

    @pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
    def test_of_a_file_that_was_cut_off_what_is_there_is_read(self, tmp_path, case, share):
        program, write, _ = case
        content = write(program(count=30))
        path = written(tmp_path / "a.pftrace", content[: int(len(content) * share) - 3])
        try:
            trace = open_trace(path)
        except TraceError as error:  # torch writes all begins of calls before their ends
            assert "without operations or calls" in str(error)  # noqa: PT017
            return
        assert trace.meta.truncated
        if len(trace.operations):
            assert idlescope.analyze(trace).results[0].verdict.kind == "cannot tell"

    def test_too_many_slices_are_refused(self, tmp_path, monkeypatch):
        from idlescope.trace.perfetto import packets

        monkeypatch.setattr(packets, "MOST_SLICES", 10)
        with pytest.raises(TraceError, match="more than can be read at once"):
            open_trace(written(tmp_path / "a.pftrace", torch(nvidia())))

    def test_slices_that_never_end_are_counted(self, tmp_path):
        content = torch(nvidia()) + protobuf.message(
            [packet((8, BASE), (11, [(9, 1), (11, 151), (23, "open")]))]
        )
        trace = open_trace(written(tmp_path / "a.pftrace", content))
        assert trace.meta.lost.get("unknown") == 1

    def test_bytes_that_changed_end_in_figures_or_a_sentence(self, tmp_path, case):
        program, write, _ = case
        sound = write(program(count=2))
        for seed in range(150):
            dice = random.Random(seed)
            changed = bytearray(sound)
            for _ in range(dice.randint(1, 4)):
                changed[dice.randrange(len(changed))] = dice.randrange(256)
            path = written(tmp_path / "a.pftrace", b"\n" + changed[1:])
            try:
                open_trace(path)
            except TraceError as error:
                assert len(str(error)) < 2_000  # noqa: PT017


def test_one_operation_alone_is_read(tmp_path):
    known = Known(work=[Work(BASE, BASE + 10, 0, "k"), Work(BASE + 20, BASE + 30, 0, "k")])
    assert_holds(open_trace(written(tmp_path / "a.pftrace", rocprof(known))), known)
