"""Files of tools that are not read yet are named, with what to do instead; traces are not."""

from __future__ import annotations

import json

import pytest

from idlescope.errors import TraceError
from idlescope.trace.open import open_trace
from tests.make.kineto_files import call, document, operation, write
from tests.make.nsys_files import Export

KERNEL = [call(0, 10, 1), operation(20, 30, correlation=1)]


def process(name):
    return {"ph": "M", "name": "process_name", "pid": 2, "args": {"name": name}}


TRACE = json.dumps(document(KERNEL)).encode()
RPD_JSON = '[ {}\n,{"name": "process_name", "ph": "M", "pid":"2","args":{"name":"GPU2"}}\n]'
REQUESTS = '{"schema": "dynamo.request.trace.v1", "id": 1}\n{"schema": "dynamo.request.trace.v1"}\n'

FILES = {
    "rpd.json": (RPD_JSON.encode(), "made of an RPD trace", "give the .rpd file"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c\x00", "an archive", "unpack it"),
    "a.ncu-rep": (b"NVR\x00\x01", "Nsight Compute", "nsys profile"),
    "snapshot.pickle": (b"\x80\x04\x95\x00", "a pickle", "torch.profiler"),
    "requests.jsonl": (REQUESTS.encode(), "NVIDIA Dynamo", "idlescope capture"),
    "log.jsonl": (b'{"level": "info"}\n{"level": "warn"}\n', "JSON lines", "nsys profile"),
}


@pytest.mark.parametrize("name", FILES)
def test_it_is_named_with_what_to_do_instead(tmp_path, name):
    content, title, instead = FILES[name]
    for called in (name, "renamed.json"):  # told by the content
        (tmp_path / called).write_bytes(content)
        with pytest.raises(TraceError) as error:
            open_trace(tmp_path / called)
        message = str(error.value)
        assert message.startswith(f"{tmp_path / called} is ")
        assert ", which is not read yet: " in message
        assert title in message
        assert instead in message


def test_among_ranks_it_is_left_out(tmp_path):
    write(tmp_path / "rank0.json", KERNEL)
    (tmp_path / "requests.json").write_text(REQUESTS)
    (warning,) = open_trace(tmp_path).meta.warnings
    assert warning.startswith(
        "requests.json was left out: is a request trace of NVIDIA Dynamo"
    )


@pytest.mark.parametrize(
    "text",
    [
        "\n" + TRACE.decode(),
        "\ufeff" + TRACE.decode(),
        json.dumps(document(KERNEL), indent=1),
        json.dumps(document(KERNEL)["traceEvents"]),
        json.dumps(document([*KERNEL, process("/home/me/device")])),
    ],
    ids=[
        "blank line",
        "byte-order mark",
        "indented",
        "bare array",
        "a process called a path",
    ],
)
def test_a_trace_of_torch_is_none_of_them(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    assert len(open_trace(tmp_path / "t.json").operations) == 1


def test_an_export_is_none_of_them(tmp_path):
    export = Export()
    export.kernel(0, 10)
    assert len(open_trace(export.sqlite(tmp_path / "e.sqlite")).operations) == 1


def test_a_damaged_database_is_left_to_its_reader(tmp_path):
    (tmp_path / "e.sqlite").write_bytes(b"SQLite format 3\x00" + b"\xff" * 200)
    with pytest.raises(TraceError, match="is not a whole SQLite database"):
        open_trace(tmp_path / "e.sqlite")
