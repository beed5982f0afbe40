"""Of a damaged Kineto file what can be read is read, and each repair and drop is counted with its place."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import idlescope
from idlescope.errors import TraceError
from idlescope.trace.kineto import bytes as kineto_bytes
from idlescope.trace.kineto import events as kineto_events
from idlescope.trace.kineto import parts
from idlescope.trace.open import open_trace
from tests.make.kineto_files import call, document, operation, span

COUNT = 40
EVENTS = [e for i in range(COUNT) for e in (call(i * 1000, i * 1000 + 100, i + 1),
          operation(i * 1000 + 200, i * 1000 + 700, correlation=i + 1, name=f"k{i}"))]  # fmt: skip
WHOLE = json.dumps(document(EVENTS, note="at the end")).encode()
LAYOUTS = {"one line": WHOLE, "pretty": json.dumps(document(EVENTS), indent=1).encode(),
           "list": json.dumps(EVENTS).encode()}  # fmt: skip


def read(tmp_path, text, name="t.json"):
    path = tmp_path / name
    path.write_bytes(text)
    return open_trace(path)


def names(trace):
    return [trace.names[n] for n in trace.operations.name]


@pytest.fixture(params=[64, 700, 1 << 17])
def _chunks(request, monkeypatch):
    monkeypatch.setattr(kineto_events, "CHUNK_BYTES", request.param)


def nth(text, what, n):
    """Where the n-th occurrence of something is."""
    at = -1
    for _ in range(n):
        at = text.index(what, at + 1)
    return at


def test_a_sound_file_has_no_warnings(tmp_path):
    trace = read(tmp_path, WHOLE)
    assert not trace.meta.warnings
    assert idlescope.analyze(trace).results[0].coverage.uncertain == ()


REPAIRS = {
    "bad escape": (
        b'"k7"',
        b'"C:\\Windows\\k7"',
        "backslashes that escape nothing",
        "C:\\Windows\\k7",
    ),
    "control character": (b'"k7"', b'"k\x017"', "control characters", "k 7"),
    "line break in text": (b'"k7"', b'"k\n7"', "line breaks or tabs within text", "k 7"),
    "bad UTF-8": (b'"k7"', b'"k\xff7"', "not UTF-8", "k\ufffd7"),
    "half a surrogate": (b'"k7"', b'"k\\ud8007"', "surrogate", "k\ufffd7"),
    "NaN": (b'"grid": [1, 1, 1]', b'"grid": [NaN, -Infinity, 1]', "NaN or Infinity", "k0"),
    "huge number": (b'"stream": 7', b'"stream": 1e999', "beyond any range", "k0"),
    "comma at the end": (
        b'"nested": [{"a": 1}, {}]}}], "t',
        b'"nested": []}},], "t',
        "commas too many",
        "k0",
    ),
    "trailing comma": (b'"grid": [1, 1, 1]', b'"grid": [1, 1, 1,]', "commas too many", "k0"),
    "double comma": (b"}, {", b"},, {", "commas too many", "k0"),
    "two commas between events": (b'}, {"ph"', b'},, {"ph"', "commas too many", "k0"),
    "no comma between events": (b'}, {"ph"', b'} {"ph"', "commas that are missing", "k0"),
}


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("case", REPAIRS)
def test_repairs_lose_nothing_and_name_their_place(tmp_path, case):
    old, new, said, name = REPAIRS[case]
    at = WHOLE.index(old)
    trace = read(tmp_path, WHOLE[:at] + new + WHOLE[at + len(old) :])
    assert len(trace.operations) == len(trace.calls) == COUNT
    assert name in names(trace)
    (warning,) = trace.meta.warnings
    assert said in warning
    place = int(warning.rpartition("byte ")[2].replace(",", ""))
    assert at <= place <= at + len(new), warning
    assert not trace.meta.lost


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("bad", "kind"), [(b'"name": "k7"', "operations"), (b'"cat": "cuda_runtime"', "calls")]
)
def test_an_event_that_cannot_be_read_costs_only_itself(tmp_path, layout, bad, kind):
    text = LAYOUTS[layout]
    at = nth(text, bad, 1)
    trace = read(tmp_path, text[: at + len(bad)] + b' "oops' + text[at + len(bad) :])
    lost = {"operations": COUNT - len(trace.operations), "calls": COUNT - len(trace.calls)}
    assert lost == {"operations": 0, "calls": 0} | {kind: 1}
    assert trace.meta.lost == {kind: 1}
    assert not trace.meta.truncated
    (warning,) = trace.meta.warnings
    assert f"{kind} that cannot be read were left out: 1, the first at byte " in warning
    place = int(warning.rpartition("byte ")[2].replace(",", ""))
    assert text[place : place + 1] == b"{"
    assert place < at < place + 600


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("share", [0.31, 0.5, 0.77, 0.93])
def test_a_file_that_ends_early_is_read_as_far_as_it_goes(tmp_path, layout, share):
    text = LAYOUTS[layout]
    trace = read(tmp_path, text[: int(len(text) * share)])
    assert COUNT * (share - 0.15) < len(trace.operations) < COUNT
    assert trace.meta.truncated
    assert any("ends before its list of events is closed" in w for w in trace.meta.warnings)
    (device,) = idlescope.analyze(trace).results
    assert (device.verdict.kind, "incomplete" in device.verdict.text) == ("cannot tell", True)
    assert {"idle_ns", "cause_ns", "host_ns"} <= set(device.coverage.uncertain)


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_gzip_file_that_ends_early(tmp_path, share):
    packed = gzip.compress(WHOLE)
    trace = read(tmp_path, packed[: int(len(packed) * share)])
    assert 0 < len(trace.operations) < COUNT
    assert trace.meta.truncated
    assert "its gzip data ends early" in trace.meta.warnings[-1]


def test_a_gzip_file_that_breaks(tmp_path):
    many = [operation(i * 1000, i * 1000 + 700) for i in range(COUNT * 30)]
    packed = bytearray(gzip.compress(json.dumps(document(many)).encode()))
    packed[-8] ^= 0xFF  # the check sum
    trace = read(tmp_path, bytes(packed))
    assert trace.meta.truncated
    assert len(trace.operations) >= COUNT * 30 - 1  # the last 64 bytes are not given back
    assert any("its gzip data breaks" in w for w in trace.meta.warnings)


def test_gzip_members_one_behind_the_other_are_one_file(tmp_path):
    half = len(WHOLE) // 2
    trace = read(tmp_path, gzip.compress(WHOLE[:half]) + gzip.compress(WHOLE[half:]) + b"\0" * 512)
    assert len(trace.operations) == COUNT
    assert not trace.meta.warnings


def test_a_bomb_is_stopped_within_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(kineto_bytes, "EXPANSION_CHECKED_FROM", 1 << 20)
    pack = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    bomb = pack.compress(WHOLE) + b"".join(pack.compress(b" " * (1 << 20)) for _ in range(64))
    with pytest.raises(TraceError, match="unpacks to over 250 times its size"):
        read(tmp_path, bomb + pack.flush(), "t.json.gz")


def test_a_stretch_of_zeros_in_the_middle_is_left_out(tmp_path):
    at = nth(WHOLE, b'"cat": "kernel"', 20)
    trace = read(tmp_path, WHOLE[:at] + b"\0" * 300_000 + WHOLE[at + 2_000 :])
    assert COUNT - 8 < len(trace.operations) < COUNT
    assert trace.meta.lost
    assert not trace.meta.truncated


def test_a_bracket_too_many_ends_nothing(tmp_path):
    at = nth(WHOLE, b'}, {"ph"', 20)
    trace = read(tmp_path, WHOLE[: at + 1] + b"]" + WHOLE[at + 1 :])
    assert (len(trace.operations), len(trace.calls)) == (COUNT, COUNT)
    assert "brackets that close nothing were left out: 1" in trace.meta.warnings[0]


def test_a_second_trace_behind_the_first_is_not_passed_over_in_silence(tmp_path):
    trace = read(tmp_path, WHOLE + b"\n" + WHOLE)
    assert trace.meta.truncated
    assert "more events stand behind the end of the list" in trace.meta.warnings[0]


@pytest.mark.parametrize("junk", [b"\0", b"\xf0", b"null"])
def test_what_cannot_be_told_of_a_lost_stretch_is_unknown(tmp_path, junk):
    start = WHOLE.index(b'{"ph": "X", "cat": "kernel", "name": "k7"')
    end = WHOLE.index(b', {"ph"', start)
    text = junk if junk == b"null" else junk * (end - start)
    trace = read(tmp_path, WHOLE[:start] + text + WHOLE[end:])
    assert (len(trace.operations), len(trace.calls)) == (
        COUNT - 1,
        COUNT,
    )  # nothing but the event itself
    assert trace.meta.lost == {"unknown": 1}
    assert "idle_ns" in idlescope.analyze(trace).results[0].coverage.uncertain


@pytest.mark.parametrize(
    "metadata",
    [
        {"WARNING": 5},
        {"idlescope": 5},
        {"idlescope": {"time_offset_ns": "x"}},
        {"idlescope": {"warnings": 5, "lost": 3}},
    ],
)
def test_metadata_of_the_wrong_type_is_passed_over(tmp_path, metadata):
    trace = read(tmp_path, json.dumps(document(EVENTS, **metadata)).encode())
    assert len(idlescope.analyze(trace).results[0].operations) == COUNT


def test_metadata_behind_the_events_is_read_and_repaired(tmp_path):
    text = WHOLE.replace(b'"at the end"', b'"C:\\Users\\me"')
    trace = read(
        tmp_path, text.replace(b'"traceName"', b'"distributedInfo": {"rank": 3}, "traceName"')
    )
    assert trace.meta.distributed == {"rank": 3}
    text = WHOLE.replace(b'"at the end"', b'"at the')
    assert "metadata behind the events cannot be read" in read(tmp_path, text).meta.warnings[0]


class TestTimes:
    """Records whose times cannot be true are left out, whatever wrote them."""

    base = 1_700_000_000_000_000_000

    def trace(self, tmp_path, **changes):
        events = [
            operation(self.base + i * 1000, self.base + i * 1000 + 500, correlation=i)
            for i in range(40)
        ]
        events[20] |= changes
        return read(tmp_path, json.dumps(document(events)).encode())

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"ts": 0}, "with a time of zero"),
            ({"ts": 5}, "far from all others"),
            ({"dur": -3}, "end before they start"),
            ({"dur": 9e15}, "absurdly long"),
            ({"dur": 2**64}, "no numbers"),
            ({"ts": None}, "no numbers"),
            ({"ts": "soon"}, "no numbers"),
            ({"ts": [1]}, "no numbers"),
            ({"ts": 1e300}, "no numbers"),
        ],
    )
    def test_one_operation_is_left_out_and_counted(self, tmp_path, changes, said):
        trace = self.trace(tmp_path, **changes)
        assert len(trace.operations) == 39
        assert trace.meta.lost == {"operations": 1}
        (warning,) = trace.meta.warnings
        assert said in warning
        (device,) = idlescope.analyze(trace).results
        assert "idle_ns" in device.coverage.uncertain

    def test_the_place_is_the_records_own(self, tmp_path):
        events = [
            operation(self.base + i * 1000, self.base + i * 1000 + 500, correlation=i)
            for i in range(40)
        ]
        events[20]["dur"] = -3
        text = json.dumps(document(events), indent=3).encode()
        place = int(read(tmp_path, text).meta.warnings[0].rpartition("byte ")[2].replace(",", ""))
        assert text[place:].startswith(b"{")
        assert -1 < text.index(b'"dur": -3') - place < 250

    def test_one_bad_record_at_the_front_does_not_spoil_the_others(self, tmp_path):
        events = [
            span(5, 10, "bad"),
            *(operation(self.base + i, self.base + i + 5, correlation=i) for i in range(6)),
        ]
        trace = read(tmp_path, json.dumps(document(events)).encode())
        assert (len(trace.operations), len(trace.ranges)) == (6, 0)

    def test_text_and_exponents_are_numbers(self, tmp_path):
        trace = self.trace(tmp_path, ts=f"{self.base // 1000 + 20}", dur="5e-1")
        assert len(trace.operations) == 40
        assert not trace.meta.warnings

    def test_zero_is_a_time_where_time_starts_at_zero(self, tmp_path):
        assert (
            len(read(tmp_path, json.dumps(document([operation(0, 10)] * 1)).encode()).operations)
            == 1
        )


def test_ids_beyond_64_bits_are_taken_as_missing(tmp_path):
    events = [
        operation(0, 10, correlation=2**70),
        operation(20, 30, correlation=-5),
        operation(40, 50, correlation=7),
    ]
    trace = read(tmp_path, json.dumps(document(events)).encode())
    assert trace.operations.correlation.tolist() == [0, -5, 7]
    assert "ids beyond 64 bits were taken as missing: 1" in trace.meta.warnings[0]


def test_duplicate_records_count_once(tmp_path):
    trace = read(tmp_path, json.dumps(document([*EVENTS, *EVENTS[:10]])).encode())
    assert len(trace.operations) == COUNT
    assert (
        "operations written twice were counted once: 5, the first at the block from byte "
        in trace.meta.warnings[0]
    )


def test_values_of_the_wrong_type_cost_nothing(tmp_path):
    events = [{**operation(0, 10), "args": [1], "cat": "kernel"}, {**operation(20, 30), "name": {"a": 1}},
              {**operation(40, 50), "pid": None, "tid": [3]}, {**operation(60, 70), "cat": 7}]  # fmt: skip
    assert len(read(tmp_path, json.dumps(document(events)).encode()).operations) == 3


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=12), st.integers(0, 60))
def test_any_damage_is_survived_and_admitted(tmp_path_factory, at, junk, gone):
    """Whatever is cut out or put in: no crash, and what differs from the sound file is marked as such."""
    damaged = WHOLE[:at] + junk + WHOLE[at + gone :]
    try:
        trace = read(tmp_path_factory.mktemp("d"), damaged)
        analysis = idlescope.analyze(trace)
    except TraceError:
        return
    json.dumps(analysis.to_json(), allow_nan=False)
    try:
        json.loads(damaged.decode("utf-8-sig", "replace"), strict=False)
    except ValueError:
        assert trace.meta.warnings


class TestParts:
    """A large file is read by two processes; the result is that of one."""

    @pytest.fixture
    def _split(self, monkeypatch):
        monkeypatch.setattr(parts, "SPLIT_BYTES", 1000)

    @pytest.mark.usefixtures("_split")
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_two_parts_are_one_trace(self, tmp_path, layout, monkeypatch):
        two = read(tmp_path, LAYOUTS[layout])
        monkeypatch.setattr(parts, "SPLIT_BYTES", 1 << 40)
        one = read(tmp_path, LAYOUTS[layout])
        assert names(two) == names(one)
        assert two.meta == one.meta
        assert idlescope.analyze(two).to_json() == idlescope.analyze(one).to_json()

    @pytest.mark.usefixtures("_split")
    def test_damage_in_the_second_half_is_found_at_its_place(self, tmp_path):
        at = WHOLE.index(b'"k39"')
        trace = read(tmp_path, WHOLE[:at] + b'"C:\\Win"' + WHOLE[at + 5 :])
        (warning,) = trace.meta.warnings
        assert warning.endswith(f"{at + 3:,}")

    @pytest.mark.usefixtures("_split")
    def test_without_a_second_process_one_reads_all(self, tmp_path, monkeypatch):
        monkeypatch.setattr(parts.sys, "executable", "/bin/false")
        assert len(read(tmp_path, WHOLE).operations) == COUNT

    def test_objects_nested_in_an_event_are_no_boundary(self):
        text = (
            json.dumps(span(0, 5, "a") | {"args": {"list": [{"x": 1}, {"y": 2}]}})
            + ", "
            + json.dumps(span(9, 10, "b"))
        )
        assert kineto_events.event_boundary(text.encode(), 100) == 100 + text.rindex('{"ph"')
