"""No mark without width or of direction stands raw in any document or trace that is written."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing

import msgspec
import pytest

from idlescope.analysis.analyze import analyze
from idlescope.export.convert import convert
from idlescope.export.perfetto import writer
from idlescope.report.text import to_text
from idlescope.trace.metadata import Metadata
from idlescope.trace.open import open_trace
from idlescope.trace.recording import files
from idlescope.trace.scrub.copy import scrub
from idlescope.trace.unseen import UNSEEN, encoded, spelled
from tests.make.kineto_files import call, document, operation, span

MARKS = "a\u202eb\u200bc\ufeffd\u2066e\U000e0041f"
NAMES = ("process_name", "thread_name")


@pytest.fixture
def source(tmp_path):
    """Return a trace in which everything that has a name has a hostile one."""
    events = [
        *[{"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": MARKS}}
          for what in NAMES for pid, tid in ((50, 100), (51, 100), (0, 7))],
        call(0, 5, 1, name=MARKS), call(0, 5, 2) | {"pid": 51},
        operation(10, 20, correlation=1, stream=MARKS, name=MARKS),
        operation(30, 40, correlation=2, device=1), span(0, 30, MARKS),
    ]  # fmt: skip
    text = document(
        events,
        deviceProperties=[{"id": 0, "name": MARKS, "uuid": MARKS}, {"id": 1, "name": "b"}],
        distributedInfo={"rank": 0, "backend": MARKS},
    )
    path = tmp_path / "in.json"
    path.write_text(json.dumps(text))
    return path


def raw(text):
    """Return what is not shown and stands in a text as it is, line breaks apart."""
    return set(UNSEEN.findall(text)) - {"\n"}


def hostile(trace):
    meta = trace.meta.replace(warnings=(MARKS,), dropped=(MARKS,), extra={MARKS: [MARKS]})
    from dataclasses import replace

    labelled = tuple(
        replace(device, process_name=MARKS + str(device.process))
        for device in trace.devices
    )
    return replace(trace, meta=meta, devices=labelled)


def test_perfetto_files_and_recordings_hold_none_and_read_back_as_they_were(
    source, tmp_path
):
    trace = hostile(open_trace(source))
    writer.write(trace, tmp_path / "p.json.gz", analyze(trace).results)
    files.write(trace, tmp_path / "r")
    texts = [
        gzip.decompress((tmp_path / "p.json.gz").read_bytes()).decode(),
        (tmp_path / "r" / "meta.json").read_text(),
    ]
    for text in texts:
        assert not raw(text)
        assert json.loads(text)
    for again in (open_trace(tmp_path / "p.json.gz"), open_trace(tmp_path / "r")):
        assert set(trace.names) <= set(again.names)
        assert {device.process_name for device in again.devices} == {
            device.process_name for device in trace.devices
        }
        assert again.meta.warnings == (MARKS,)


def test_documents_hold_none(source):
    trace = hostile(open_trace(source))
    assert not raw(to_text(analyze(trace).to_json()))
    assert not raw(encoded({MARKS: Metadata(warnings=(MARKS,))}).decode())
    assert msgspec.json.decode(encoded([MARKS, "\x7f", "é", 'b"\\'])) == [
        MARKS,
        "\x7f",
        "é",
        'b"\\',
    ]


def test_a_scrubbed_trace_holds_none(source, tmp_path):
    scrub(source, tmp_path / "s.json")
    assert not raw((tmp_path / "s.json").read_text())


def test_labels_stay_apart():
    assert spelled("a\u200b") != spelled("a\u202e")
    assert spelled("step é 中") == "step é 中"


def test_other_formats_hold_names_as_they_are(source, tmp_path):
    """They are data to programs: what reads them back has the same names."""
    convert(source, tmp_path / "e.sqlite")
    with closing(sqlite3.connect(tmp_path / "e.sqlite")) as database:
        assert (MARKS,) in database.execute("SELECT value FROM StringIds").fetchall()
