"""The document of `analyze --json` is typed, and frames and repr show the same figures."""

import json
from dataclasses import replace

import msgspec
import pytest

import idlescope
from idlescope.analysis import document
from idlescope.analysis.document import Document
from idlescope.report import analysis_json
from idlescope.report.text import to_text
from tests.conftest import FIXTURES
from tests.make.kineto_files import call, operation, span, write


@pytest.fixture(scope="module")
def analysis():
    return idlescope.analyze(idlescope.open(FIXTURES / "loop_sync.json.gz"))


def test_what_is_written_is_read_again_as_the_same_types(analysis):
    text = json.dumps(analysis.to_json())
    assert msgspec.json.decode(text, type=Document) == analysis.document()


@pytest.mark.parametrize("in_part", [1, 3, 4096])
def test_the_text_in_pieces_is_the_whole_text(analysis, monkeypatch, in_part):
    monkeypatch.setattr(document, "STEPS_IN_PART", in_part)
    (result,) = analysis.results
    odd = replace(result.device, process_name='\ud800 "\u202e\x7f\\é ##[error]')
    view = msgspec.structs.replace(result.view, device=odd)
    twice = replace(analysis, results=(result, replace(result, view=view)))
    for one in (analysis, twice, replace(analysis, results=())):
        assert "".join(analysis_json.pieces(one)) == to_text(one.to_json())


def test_every_value_is_plain(analysis):
    assert json.loads(json.dumps(analysis.to_json())) == analysis.to_json()


def test_frames_have_the_columns_of_the_document(analysis):
    pytest.importorskip("pandas")
    document = analysis.to_json()
    (device,) = document["devices"]
    frame = analysis.to_frame()
    assert frame["idle_ns"].tolist() == [device["idle_ns"]]
    assert frame["verdict"].tolist() == [device["verdict"]["kind"]]
    assert analysis.steps.to_dict("records") == document["steps"]
    assert analysis.host["ns"].tolist() == list(device["host_ns"].values())
    assert analysis.gaps["length_ns"].sum() == device["idle_ns"]


def test_a_trace_without_devices_has_frames_without_rows(tmp_path):
    pytest.importorskip("pandas")
    names = ("scheduler.get_next_batch_to_run", "scheduler.run_batch")
    path = write(tmp_path / "t.json", [span(0, 10, names[0]), span(10, 50, names[1])])
    analysis = idlescope.analyze(idlescope.open(path))
    for frame in (analysis.devices, analysis.steps, analysis.gaps, analysis.host):
        assert len(frame) == 0
    some = idlescope.analyze(idlescope.open(FIXTURES / "loop_sync.json.gz"))
    assert list(analysis.gaps) == list(some.gaps)


def test_an_analysis_says_in_a_line_what_it_is(analysis):
    assert repr(analysis).endswith(" % idle, synchronous")
    assert "device 0 NVIDIA H100 80GB HBM3" in repr(analysis)
    assert len(repr(analysis)) < 300
    assert len(repr(analysis.trace)) < 300
    assert repr(analysis.trace).endswith("1 devices, 1 threads")


def test_in_a_notebook_it_is_a_small_table_with_names_escaped(tmp_path):
    path = write(tmp_path / "<t>.json", [call(0, 1, 1), operation(5, 10, correlation=1)])
    html = idlescope.analyze(idlescope.open(path))._repr_html_()
    assert html.count("<tr>") == 2
    assert "&lt;t&gt;.json" in html
    assert "busy" in html
