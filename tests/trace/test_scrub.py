"""A scrubbed trace tells nothing of who recorded it and where, and has every figure of the original."""

from __future__ import annotations

import gzip
import json
import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import idlescope
from idlescope.analysis.verdict.coverage import LESSER
from idlescope.errors import ConfigError, OutputExistsError, TraceError
from idlescope.export.nsys import writer as nsys_writer
from idlescope.trace.damage import LOSS
from idlescope.trace.model import OperationKind, RangeKind
from idlescope.trace.recording import files
from idlescope.trace.scrub import meta
from idlescope.trace.scrub.copy import scrub
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.texts import Texts
from tests.conftest import SHARED
from tests.make.kineto_files import call, document, operation, span
from tests.make.traces import numbers, trace

# A user, a host and a project that must be nowhere in a scrubbed file.
SECRETS = (b"zoltan", b"hostname17", b"manhattan", b"672a921d")
HOME = "/home/zoltan/manhattan"
UUID = "GPU-672a921d-c216-dbaa-78b2-9b40581e7f00"
REAL = sorted(p.name for p in (SHARED / "traces").glob("*.[js][sq]*[ze]")) or ["none"]


def all_bytes(path):
    """Everything that is in a file or folder, unpacked: of Parquet, the cells too, which are compressed."""
    from pyarrow import parquet

    if path.is_dir():
        return b"".join(p.name.encode() + all_bytes(p) for p in path.iterdir())
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        return data[:20] + gzip.decompress(data)
    if path.suffix == ".parquet":
        return data + repr(parquet.read_table(path).to_pydict()).encode()
    return data


def tells_nothing(path):
    found = [secret for secret in SECRETS if secret in all_bytes(path).lower()]
    assert not found


def figures(path):
    return numbers(idlescope.analyze(idlescope.open(path)))


class TestPaths:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (f"{HOME}/x.py(12): forward", "x.py(12): forward"),
            (
                "/opt/venv/lib/python3.12/site-packages/torch/nn/module.py(3): f",
                "torch/nn/module.py(3): f",
            ),
            ("/usr/lib/python3/dist-packages/yaml/a.py(1): f", "yaml/a.py(1): f"),
            ("/usr/lib/python3.11/threading.py(982): run", "threading.py(982): run"),
            ("C:\\Users\\zoltan\\My Project (2)\\x.py(1): f", "x.py(1): f"),
            ("\\\\hostname17\\share\\x.cu", "x.cu"),
            ("zoltan@hostname17:/data/x.py", "x.py"),
            ("/home/zoltan", "…"),
            ("cwd=/home/zoltan/", "cwd=…"),
            ("~zoltan/x.py ../zoltan/y.py", "y.py"),  # as if "x.py .." were a folder
            ("/home/zoltan smith/x.py(1): f", "x.py(1): f"),
            ("open('/home/zoltan/a b/data.csv')", "open('…')"),
            ("file:///home/zoltan/x.py", "file:x.py"),
            (
                f"a.py(1): f;{HOME}/b.py(2): g\n{HOME}/c.py(3): h",
                "a.py(1): f;b.py(2): g\nc.py(3): h",
            ),
            ("torch/nn/modules/module.py(1553): _call_impl", None),
            ("void at::native::elementwise<float, 4>(int, T*) / 2", None),
            ("<built-in method run of PyCapsule object at 0x7f>", None),
            ("Memcpy HtoD (Pinned -> Device)", None),
            ("a\\b", None),
            ("model/layer.0/attn", None),
        ],
    )
    def test_paths_are_cut_to_what_is_the_same_everywhere(self, text, expected):
        assert Texts(Scrubbed()).text(text) == (text if expected is None else expected)

    def test_different_names_stay_different(self):
        names = [
            "/a/x.py(1): f",
            "/b/x.py(1): f",
            "x.py(1): f",
            "/home/me",
            "/home/you",
            "/a/x.py(1): f",
        ]
        texts = Texts(Scrubbed())
        assert [texts.name(n) for n in names] == [
            "x.py(1): f", "x.py(1): f (2)", "x.py(1): f (3)", "…", "… (2)", "x.py(1): f"
        ]  # fmt: skip

    @given(st.lists(st.text("/\\ab.py(1): …~", max_size=12)))
    def test_any_names_stay_different(self, names):
        texts = Texts(Scrubbed())
        assert len({texts.name(n) for n in names}) == len(set(names))

    @given(
        st.lists(st.sampled_from(["home", "zoltan", "a b", "x.y"]), min_size=1),
        st.sampled_from(["", "x.py", "d"]),
    )
    def test_no_folder_of_a_path_stays(self, folders, base):
        assert "zoltan" not in Texts(Scrubbed()).text("/" + "/".join([*folders, "zoltan", base]))


def kineto_events():
    frame = span(1_000, 8_000, f"{HOME}/train.py(12): step", "python_function")
    twin = span(8_000, 39_000, "/srv/manhattan/train.py(12): step", "python_function")
    operator = span(1_500, 1_900, "aten::copy_", "cpu_op")
    operator["args"] = {
        "Call stack": f"{HOME}/train.py(12): step;/opt/lib/python3.11/site-packages/torch/x.py(3): f",
        "Concrete Inputs": [f"{HOME}/data.bin", "hostname17"], "Input Dims": [[2, 3], []], "hostname17": 1,
        "Input type": ["float", ""], "nested": {"user": "zoltan"},
    }  # fmt: skip
    odd = operation(61_000, 62_000, name="k2", correlation=9)
    odd["args"]["stream"] = "0x7f12"
    odd["owner"] = "zoltan"
    return [
        {"ph": "M", "name": "process_name", "pid": 50, "tid": 0, "ts": 0, "args": {"name": "python zoltan.py"}},
        {"ph": "M", "name": "process_labels", "pid": 50, "tid": 0, "ts": 0, "args": {"labels": "hostname17"}},
        {"ph": "M", "name": "process_labels", "pid": 0, "tid": 0, "ts": 0, "args": {"labels": "GPU 0"}},
        {"ph": "M", "name": "thread_name", "pid": 50, "tid": 100, "ts": 0, "args": {"name": f"thread {HOME}/run.py"}},
        {"ph": "i", "s": "g", "name": "Record Window End", "pid": "", "tid": "", "ts": 0.5},
        {"ph": "X", "cat": "Trace", "name": "PyTorch Profiler (0)", "pid": "Spans", "tid": "zoltan", "ts": 0, "dur": 9},
        {"ph": "X", "cat": "shell", "name": "ssh zoltan@hostname17", "pid": 50, "tid": 100, "ts": 1, "dur": 2},
        {"ph": "Q", "name": "zoltan", "pid": 50, "tid": 100, "ts": 1},
        frame, twin, operator, call(2_000, 3_000, 1), operation(5_000, 10_000, correlation=1),
        {"ph": "s", "cat": "ac2g", "name": "ac2g", "id": 1, "pid": 50, "tid": 100, "ts": 2.0},
        {"ph": "f", "bp": "e", "cat": "ac2g", "name": "ac2g", "id": "zoltan-1", "pid": 0, "tid": 7, "ts": 5.0},
        call(40_000, 41_000, 9), odd,
    ]  # fmt: skip


def kineto_metadata():
    return {
        "traceName": f"{HOME}/trace.json", "hostname": "hostname17", "displayTimeUnit": "ms", "with_stack": 1,
        "baseTimeNanoseconds": 1_790_857_026_000_000_000, "trace_id": "zoltan", "cuda_driver_version": "13.0",
        "WARNING": [f"{HOME}/libkineto.cpp:3] CUPTI dropped 2 records", "started by zoltan"],
        "distributedInfo": {"backend": "nccl", "rank": 3, "world_size": 4, "pg_config": [{"pg_desc": "zoltan's"}]},
        "deviceProperties": [{"id": 0, "name": "Test GPU", "uuid": UUID, "host": "hostname17", "numSms": 132}],
    }  # fmt: skip


class TestKineto:
    @pytest.mark.parametrize("name", ["t.json", "t.json.gz"])
    def test_nothing_is_told_and_every_figure_stays(self, tmp_path, name):
        source = tmp_path / "in.json"
        source.write_text(json.dumps(document(kineto_events(), **kineto_metadata())))
        before = source.read_bytes()
        result = scrub(source, tmp_path / name)
        tells_nothing(tmp_path / name)
        assert figures(tmp_path / name) == figures(source)
        assert source.read_bytes() == before
        written = json.loads(all_bytes(tmp_path / name)[20 * name.endswith("gz") :])
        assert {k: v for k, v in written.items() if k not in ("traceEvents", "deviceProperties")} == {
            "schemaVersion": 1, "displayTimeUnit": "ms", "with_stack": 1, "cuda_driver_version": "13.0",
            "baseTimeNanoseconds": 1_790_857_026_000_000_000, "WARNING": ["The profiler lost records."],
            "distributedInfo": {"backend": "nccl", "rank": 3, "world_size": 4},
        }  # fmt: skip
        assert written["deviceProperties"] == [
            {
                "id": 0,
                "name": "Test GPU",
                "numSms": 132,
                "uuid": "GPU-00000000-0000-0000-0000-000000000001",
            }
        ]
        names = [e.get("name") for e in written["traceEvents"]]
        assert names[3:6] == [
            "PyTorch Profiler (0)",
            "train.py(12): step",
            "train.py(12): step (2)",
        ]
        (operator,) = (e for e in written["traceEvents"] if e["name"] == "aten::copy_")
        assert operator["args"] == {
            "Call stack": "train.py(12): step;torch/x.py(3): f", "Input Dims": [[2, 3], []],
            "Input type": ["float", ""],
        }  # fmt: skip
        assert result.removed["names and labels of processes"] == 2
        assert result.removed["events of kinds that idlescope does not know"] == 2
        assert "removed serial numbers of GPUs: 1" in result.lines()

    @pytest.mark.parametrize("name", REAL)
    def test_every_figure_of_real_traces_stays(self, shared_traces, name, tmp_path):
        scrub(shared_traces / name, tmp_path / name)
        assert figures(tmp_path / name) == figures(shared_traces / name)
        after = all_bytes(tmp_path / name)
        for told in (
            b"/home/",
            b"/root/",
            b"/tmp/",
            b"rich-wsl",
            b"DESKTOP-",
            b"MODAL_",
            b"/FastVideo",
        ):
            assert told not in after

    def test_devices_written_as_text_and_ids_that_are_names(self, tmp_path):
        properties = str([{"id": 0, "name": "Test GPU", "host": "hostname17", "totalGlobalMem": 5}])
        events = [
            operation(0, 10, stream="compute"),
            {**call(0, 5, 1), "pid": "python of zoltan"},
            call(6, 9, 2),
        ]
        events[1]["args"] |= {
            "Call stack": ["zoltan/is/relative", 3, None],
            "grid": [[[[[1]]]]],
            "queued": "zoltan",
        }
        (tmp_path / "in.json").write_text(
            json.dumps(document(events, deviceProperties=properties, WARNING=["?"]))
        )
        scrub(tmp_path / "in.json", tmp_path / "t.json")
        assert figures(tmp_path / "t.json") == figures(tmp_path / "in.json")
        written = json.loads((tmp_path / "t.json").read_text())
        assert written["deviceProperties"] == [{"id": 0, "name": "Test GPU", "totalGlobalMem": 5}]
        assert [e["pid"] for e in written["traceEvents"]] == [
            0,
            "pid 2",
            50,
        ]  # the stream is the first that is no number
        assert written["traceEvents"][1]["args"] == {
            "correlation": 1, "cbid": 211, "Call stack": ["zoltan/is/relative", 3, None], "grid": [[[[None]]]],
            "queued": None,
        }  # fmt: skip

    def test_times_keep_every_digit(self, tmp_path):
        text = json.dumps(document([operation(0, 10), operation(0, 20)]))
        exact = text.replace('"ts": 0.0', '"ts": 1669783687464181.123').replace(
            '"dur": 0.01', '"dur": 0.017'
        )
        (tmp_path / "in.json").write_text(exact)
        scrub(tmp_path / "in.json", tmp_path / "t.json")
        got = idlescope.open(tmp_path / "t.json").operations
        assert got.start.tolist() == [1669783687464181123] * 2
        assert got.end.tolist() == [1669783687464181140, 1669783687464181143]

    def test_what_cannot_be_read_is_left_out_and_said(self, tmp_path):
        text = json.dumps(document(kineto_events(), **kineto_metadata()))
        # one event damaged beyond repair, one whose text needs repair, and the end of the file missing
        text = text.replace(
            '"ph": "X", "cat": "cuda_runtime"', '"zoltan" "ph", "cat": "cuda_runtime"', 1
        )
        text = text.replace('"aten::copy_"', '"aten::\\copy_"')
        (tmp_path / "in.json").write_text(text[: text.rindex('"traceName"')] + '"zoltan')
        scrub(tmp_path / "in.json", tmp_path / "t.json")
        tells_nothing(tmp_path / "t.json")
        assert figures(tmp_path / "t.json") == figures(tmp_path / "in.json")
        original, copy = (idlescope.open(tmp_path / name).meta for name in ("in.json", "t.json"))
        assert copy.lost == original.lost

    def test_bytes_that_are_no_text_do_not_stop_it(self, tmp_path):
        text = json.dumps(document(kineto_events())).encode().replace(b"Pinned", b"\xff")
        events = text.replace(b'"cbid": 211', b'"cbid": 211, "Call stack": "\xff\xfe zoltan/"')
        (tmp_path / "in.json").write_bytes(events)
        scrub(tmp_path / "in.json", tmp_path / "t.json")
        assert figures(tmp_path / "t.json") == figures(tmp_path / "in.json")

    def test_our_own_files_keep_steps_and_tracks(self, tmp_path):
        from idlescope.export.perfetto import writer

        annotation = int(RangeKind.ANNOTATION)
        made = trace(
            [(10, 20, 0, 0, 0, 0, 5, 1, 64, 2.5), (30, 40, 0, 1, 2, 1, 5, 2, 0, 0.0)],
            [(1, 2, 0, 1, 5), (25, 26, 2, 1, 5)],
            [(0, 9, 0, 0, annotation, 1), (5, 15, 0, 0, annotation, 2)],
            meta={
                "source": "idlescope run",
                "path": HOME,
                "command": "zoltan",
                "device": "modelled H200",
            },
        )
        writer.write(made, tmp_path / "in.json.gz")
        scrub(tmp_path / "in.json.gz", tmp_path / "t.json.gz")
        tells_nothing(tmp_path / "t.json.gz")
        got, expected = (idlescope.open(tmp_path / name) for name in ("t.json.gz", "in.json.gz"))
        for table in ("operations", "calls", "ranges"):
            columns = getattr(got, table).DTYPES
            left, right = getattr(got, table), getattr(expected, table)
            assert all(np.array_equal(getattr(left, c), getattr(right, c)) for c in columns)
        assert (got.threads, got.streams, got.meta.extra["device"]) == (
            expected.threads,
            expected.streams,
            "modelled H200",
        )


PLANTED = f"""
CREATE TABLE META_DATA_CAPTURE (name TEXT, value TEXT);
INSERT INTO META_DATA_CAPTURE VALUES ('PROCESS_0:ENVIRONMENT_VARIABLE', 'USER="zoltan"');
CREATE TABLE TARGET_INFO_SYSTEM_ENV (globalVid INTEGER, name TEXT, value TEXT);
INSERT INTO TARGET_INFO_SYSTEM_ENV VALUES (1, 'Hostname', 'hostname17');
CREATE TABLE ANALYSIS_FILE (id INTEGER, filename TEXT, contentId INTEGER);
INSERT INTO ANALYSIS_FILE VALUES (0, '{HOME}/stdout.log', 900);
CREATE TABLE ProcessStreams (globalPid INTEGER, filenameId INTEGER, contentId INTEGER);
INSERT INTO ProcessStreams VALUES (1, 901, 900);
CREATE TABLE TARGET_INFO_SESSION_START_TIME (utcEpochNs INTEGER, utcTime TEXT);
INSERT INTO TARGET_INFO_SESSION_START_TIME VALUES (1, 'hostname17');
CREATE TABLE zoltans_own (a TEXT);
INSERT INTO zoltans_own VALUES ('manhattan');
INSERT INTO StringIds VALUES (900, 'output of zoltan'), (901, '/home/zoltan/x'), (902, 'bash zoltan');
INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_HOST', 'hostname17'), ('EXPORT_USER', 'zoltan');
UPDATE PROCESSES SET name = 'python zoltan.py';
INSERT INTO PROCESSES VALUES (99, 7, 'sshd: zoltan');
INSERT INTO ThreadNames VALUES (902, 20, 281474993487873);
UPDATE TARGET_INFO_GPU SET uuid = '{UUID}';
UPDATE TARGET_INFO_CUDA_DEVICE SET uuid = '{UUID.removeprefix("GPU-")}';
ALTER TABLE TARGET_INFO_GPU ADD COLUMN ctrlDevPath TEXT DEFAULT 'zoltan';
ALTER TABLE NVTX_EVENTS ADD COLUMN jsonText TEXT DEFAULT 'zoltan';
ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN gridX INTEGER DEFAULT 'zoltan';
UPDATE NVTX_EVENTS SET text = '{HOME}/train.py', textId = NULL WHERE start = 0;
UPDATE StringIds SET value = '{HOME}/kernel.cu' WHERE value = 'k';
CREATE TABLE DIAGNOSTIC_EVENT (timestamp INTEGER, severity INTEGER, text TEXT);
INSERT INTO DIAGNOSTIC_EVENT VALUES (1, 2, 'CUPTI dropped 5 records, see {HOME}/log'), (1, 0, 'zoltan');
CREATE TABLE freed (a TEXT);
"""  # noqa: S608


def nsight_export(path):
    """An export with secrets in every table that may hold them, in text that nothing refers to, and in freed pages."""
    made = trace(
        [
            (10, 20, OperationKind.KERNEL, 0, 0, 0, 5, -1, 0, 0.0),
            (30, 40, OperationKind.MEMCPY, 1, 1, 1, 5, -1, 8, 0.0),
        ],
        [(1, 2, 0, 1, 5), (25, 26, 2, 1, 5)],
        [
            (0, 9, 0, 0, int(RangeKind.ANNOTATION), -1),
            (20, 27, 2, 0, int(RangeKind.ANNOTATION), -1),
        ],
        processes=("100", "200"),
    )
    nsys_writer.write(made, path)
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(PLANTED)
        database.executemany(
            "INSERT INTO freed VALUES (?)", [("zoltan on hostname17 " * 50,)] * 200
        )
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("DROP TABLE freed")
    return path


def parquet_export(sqlite, folder):
    """The same export as `nsys export --type parquetdir` writes it, ids unsigned and with what pandas adds."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir()
    with closing(sqlite3.connect(sqlite)) as database:
        for (table,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            cursor = database.execute(f'SELECT * FROM "{table}"')  # noqa: S608
            names = [d[0] for d in cursor.description]
            columns = dict(zip(names, map(list, zip(*cursor.fetchall(), strict=True)), strict=True))
            columns.pop("gridX", None)  # of mixed type, which Parquet has not
            arrays = {
                c: pa.array(v, pa.uint64() if c.startswith("global") else None) for c, v in columns.items()
            }  # fmt: skip
            made = pa.table(arrays).replace_schema_metadata({"pandas": "zoltan"})
            parquet.write_table(made, folder / f"{table}.parquet")
    (folder / "notes of zoltan.txt").write_text("hostname17")
    return folder


class TestNsight:
    def test_the_fixture_holds_the_secrets_even_in_free_pages(self, tmp_path):
        path = nsight_export(tmp_path / "in.sqlite")
        assert all(secret in all_bytes(path).lower() for secret in SECRETS)
        assert b"zoltan on hostname17 zoltan" in all_bytes(path)

    @pytest.mark.parametrize("kind", ["sqlite", "parquet"])
    def test_nothing_is_told_and_every_figure_stays(self, tmp_path, kind):
        source = nsight_export(tmp_path / "in.sqlite")
        if kind == "parquet":
            source = parquet_export(source, tmp_path / "in")
        before = all_bytes(source)
        result = scrub(source, tmp_path / "out")
        tells_nothing(tmp_path / "out")
        assert figures(tmp_path / "out") == figures(source)
        assert all_bytes(source) == before
        got, original = idlescope.open(tmp_path / "out"), idlescope.open(source)
        assert [t.label for t in got.threads] == [t.label for t in original.threads]
        assert {"train.py", "kernel.cu"} <= set(got.names)
        assert list(got.meta.dropped) == ["The profiler lost records."]
        assert {d.identity.removeprefix("GPU-") for d in got.devices} == {
            "00000000-0000-0000-0000-000000000001"
        }
        for line in (
            "removed environment, command lines and settings of the capture (META_DATA_CAPTURE): 1",
            "removed facts about the machine (TARGET_INFO_SYSTEM_ENV): 1",
            "removed captured files (ANALYSIS_FILE): 1",
            "removed names of processes: 3",
            "removed names of threads without records: 3",
            "removed rows of tables that idlescope does not know: 1",
        ):
            assert line in result.lines()

    def test_a_damaged_export_leaves_nothing(self, tmp_path):
        path = nsight_export(tmp_path / "in.sqlite")
        path.write_bytes(path.read_bytes()[:8192])
        with pytest.raises(TraceError):
            scrub(path, tmp_path / "out.sqlite")
        assert [p.name for p in tmp_path.iterdir()] == ["in.sqlite"]


def test_a_recording_tells_nothing_and_keeps_every_figure(tmp_path):
    made = trace(
        [(10, 20, OperationKind.KERNEL, 0, 0, 0, 5, -1, 0, 0.0)],
        [(1, 2, 0, 1, 5)],
        [(0, 9, 0, 0, int(RangeKind.ANNOTATION), -1)],
        processes=(f"{HOME}/rank0.json",),
        meta={"path": HOME, "command": "zoltan", "warnings": [f"see {HOME}/log"], "lost": {"calls": 1},
              "distributedInfo": {"backend": "nccl", "rank": 1, "pg": "zoltan"},
              "dropped": ["hostname17 dropped NVTX events", "hostname17 lost one", "zoltan lost 2"]},
    )  # fmt: skip
    names = [f"{HOME}/kernel.cu", "aten::mm", "zoltan"]
    files.write(
        type(made)(**{**made.__dict__, "names": tuple(names + list(made.names)[3:])}), tmp_path / "in"
    )  # fmt: skip
    result = scrub(tmp_path / "in", tmp_path / "out")
    tells_nothing(tmp_path / "out")
    assert figures(tmp_path / "out") == figures(tmp_path / "in")
    got = idlescope.open(tmp_path / "out")
    assert got.names == ("kernel.cu", "aten::mm")
    assert got.meta.lost == {"calls": 1}
    assert list(got.meta.dropped) == [
        "The profiler lost NVTX records.",
        *["The profiler lost records."] * 2,
    ]
    assert list(got.meta.warnings) == [meta.REPAIRED]
    assert got.meta.distributed == {"backend": "nccl", "rank": 1}
    assert result.removed["names that no record has"] == 5


class TestManners:
    def test_the_trace_itself_is_never_the_target(self, tmp_path):
        source = tmp_path / "in.json"
        source.write_text(json.dumps(document([operation(0, 10)])))
        with pytest.raises(ConfigError, match="the trace itself"):
            scrub(source, source, force=True)

    def test_what_is_there_is_replaced_only_when_forced(self, tmp_path):
        source, target = tmp_path / "in.json", tmp_path / "out.json"
        source.write_text(json.dumps(document([operation(0, 10)])))
        target.write_text("mine")
        with pytest.raises(OutputExistsError, match="--force"):
            scrub(source, target)
        assert target.read_text() == "mine"
        scrub(source, target, force=True)
        assert figures(target) == figures(source)

    @pytest.mark.parametrize(
        "make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("no json")]
    )
    def test_what_is_no_trace_is_one_sentence_and_leaves_nothing(self, tmp_path, make):
        make(tmp_path / "in")
        with pytest.raises(TraceError, match="in"):
            scrub(tmp_path / "in", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_the_command_prints_what_was_removed(self, tmp_path, capsys):
        from idlescope.cli.actions.scrub import scrub_command

        (tmp_path / "in.json").write_text(
            json.dumps(document(kineto_events(), **kineto_metadata()))
        )
        scrub_command(tmp_path / "in.json", tmp_path / "out.json", force=False)
        printed = capsys.readouterr().out
        assert "removed names and labels of processes: 2" in printed
        assert "look through them" in printed


@pytest.mark.parametrize(
    "said", ["CUPTI dropped 5 records", "Not all NVTX events of zoltan", "OS runtime events lost", "missed samples",
             "context switch events were lost", "ftrace overflow"],
)  # fmt: skip
def test_losses_are_told_in_words_of_our_own_that_mean_the_same(said):
    (told,) = meta.losses([said, "zoltan was here"])
    assert LOSS.search(told)
    assert bool(LESSER.search(told)) == bool(LESSER.search(said))
    assert "zoltan" not in told


@pytest.mark.parametrize(
    "info", [{"backend": "zoltan", "rank": "hostname17", "world_size": True}, {"backend": ["a"]}]
)
def test_a_place_among_ranks_is_numbers_and_a_known_backend(info):
    assert meta.distributed(info) == {}


@pytest.mark.parametrize("name", ["a" * 100_000, "/" + "a" * 100_000, "/a" * 50_000])
def test_long_names_take_little_time(name):
    texts, start = Texts(Scrubbed()), time.monotonic()
    for _ in range(3):
        texts.name(name)
    assert time.monotonic() - start < 1


def test_a_report_is_exported_first(tmp_path):
    path = tmp_path / "x.nsys-rep"
    path.write_bytes(b"NVIDIA Tegra Profiler Report")
    with pytest.raises(TraceError, match=r"run `nsys export --type sqlite --output .*x\.sqlite"):
        scrub(path, tmp_path / "y.nsys-rep")
    assert [p.name for p in tmp_path.iterdir()] == ["x.nsys-rep"]
