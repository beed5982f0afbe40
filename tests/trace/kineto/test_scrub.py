"""A scrubbed Kineto file tells nothing of who recorded it, and has every figure."""

from __future__ import annotations

import json

import numpy as np
import pytest

import idlescope
from idlescope.trace.model import RangeKind
from idlescope.trace.scrub.copy import scrub
from tests.conftest import REAL_TRACES
from tests.make.kineto_files import call, document, operation
from tests.make.secrets import (
    HOME,
    all_bytes,
    figures,
    kineto_events,
    kineto_metadata,
    tells_nothing,
)
from tests.make.traces import trace


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
        assert {
            k: v for k, v in written.items() if k not in ("traceEvents", "deviceProperties")
        } == {
            "schemaVersion": 1,
            "displayTimeUnit": "ms",
            "with_stack": 1,
            "cuda_driver_version": "13.0",
            "baseTimeNanoseconds": 1_790_857_026_000_000_000,
            "WARNING": ["The profiler lost records."],
            "distributedInfo": {"backend": "nccl", "rank": 3, "world_size": 4},
        }
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
            "Call stack": "train.py(12): step;torch/x.py(3): f",
            "Input Dims": [[2, 3], []],
            "Input type": ["float", ""],
        }
        assert result.removed["names and labels of processes"] == 2
        assert result.removed["events of kinds that idlescope does not know"] == 2
        assert "removed serial numbers of GPUs: 1" in result.lines()

    @pytest.mark.parametrize("real", REAL_TRACES, indirect=True)
    def test_every_figure_of_real_traces_stays(self, real, tmp_path):
        scrub(real, tmp_path / real.name)
        assert figures(tmp_path / real.name) == figures(real)
        after = all_bytes(tmp_path / real.name)
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
        properties = str(
            [{"id": 0, "name": "Test GPU", "host": "hostname17", "totalGlobalMem": 5}]
        )
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
        assert written["deviceProperties"] == [
            {"id": 0, "name": "Test GPU", "totalGlobalMem": 5}
        ]
        assert [e["pid"] for e in written["traceEvents"]] == [
            0,
            "pid 2",
            50,
        ]  # the stream is the first that is no number
        assert written["traceEvents"][1]["args"] == {
            "correlation": 1,
            "cbid": 211,
            "Call stack": ["zoltan/is/relative", 3, None],
            "grid": [[[[None]]]],
            "queued": None,
        }

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
        # one event is damaged beyond repair, one's text needs repair, the end of the file misses
        text = text.replace(
            '"ph": "X", "cat": "cuda_runtime"', '"zoltan" "ph", "cat": "cuda_runtime"', 1
        )
        text = text.replace('"aten::copy_"', '"aten::\\copy_"')
        (tmp_path / "in.json").write_text(text[: text.rindex('"traceName"')] + '"zoltan')
        scrub(tmp_path / "in.json", tmp_path / "t.json")
        tells_nothing(tmp_path / "t.json")
        assert figures(tmp_path / "t.json") == figures(tmp_path / "in.json")
        original, copy = (
            idlescope.open(tmp_path / name).meta for name in ("in.json", "t.json")
        )
        assert copy.lost == original.lost

    def test_bytes_that_are_no_text_do_not_stop_it(self, tmp_path):
        text = json.dumps(document(kineto_events())).encode().replace(b"Pinned", b"\xff")
        events = text.replace(
            b'"cbid": 211', b'"cbid": 211, "Call stack": "\xff\xfe zoltan/"'
        )
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
        got, expected = (
            idlescope.open(tmp_path / name) for name in ("t.json.gz", "in.json.gz")
        )
        for table in ("operations", "calls", "ranges"):
            columns = getattr(got, table).DTYPES
            left, right = getattr(got, table), getattr(expected, table)
            assert all(np.array_equal(getattr(left, c), getattr(right, c)) for c in columns)
        assert (got.threads, got.streams, got.meta.extra["device"]) == (
            expected.threads,
            expected.streams,
            "modelled H200",
        )
