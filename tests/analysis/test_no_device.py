"""A trace without device operations says why, as far as it tells, and what was not tried yet."""

from __future__ import annotations

import json

import pytest

from idlescope.analysis.no_device import no_device
from idlescope.trace.open import open_trace
from tests.make.kineto_files import call, document, span, write
from tests.make.nsys_files import Export

LAUNCHED = [span(0, 900, "ProfilerStep#1"), call(0, 10, 1)]
WAITED = [*LAUNCHED, call(20, 500, 2, "cudaStreamSynchronize")]


def said(tmp_path, events, **about):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document(events, **about)))
    return no_device(open_trace(path))


def test_without_calls_it_says_how_to_record(tmp_path):
    text = said(tmp_path, [span(0, 10, "aten::add", "cpu_op")])
    assert "only host events: record with torch.profiler" in text
    assert "ProfilerActivity.CUDA" in text


def test_calls_without_records_are_not_answered_with_what_was_done(tmp_path):
    text = said(tmp_path, WAITED)
    assert "holds no device operations, though 1 calls put work on a device" in text
    for reason in ("another tool holds CUPTI", "driver is older", "not permitted"):
        assert reason in text
    for done_already in ("ProfilerActivity", "on a GPU machine", "stopped before"):
        assert done_already not in text


def test_without_a_wait_the_work_may_not_have_run(tmp_path):
    assert "the profiler stopped before the work had run" in said(tmp_path, LAUNCHED)


def test_on_amd_nobody_speaks_of_cupti(tmp_path):
    events = [call(0, 10, 1, "hipLaunchKernel"), call(20, 30, 2, "hipStreamSynchronize")]
    text = said(tmp_path, events)
    assert "ROCm's profiler" in text
    assert "CUPTI" not in text


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED (39)", "another tool holds CUPTI"),
        (
            "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES (35)",
            "NVreg_RestrictProfilingToAdminUsers=0",
        ),
        ("CUPTI_ERROR_NOT_INITIALIZED (15)", "CUPTI did not start"),
        ("CUPTI_ERROR_UNKNOWN (999)", "CUPTI_ERROR_UNKNOWN"),
    ],
)
def test_the_profilers_own_words_come_first(tmp_path, error, advice):
    log = [f"function cbapi->getCuptiStatus() failed with error {error}"]
    for events in (WAITED, [span(0, 10, "aten::add", "cpu_op")]):
        text = said(tmp_path, events, WARNING=log)
        assert error in text
        assert advice in text
        assert "older than this CUPTI, or" not in text


@pytest.mark.parametrize(
    ("events", "vendor"),
    [
        ([call(0, 10, 1, "urEnqueueKernelLaunch")], "an Intel GPU"),
        ([span(0, 10, "npu::npu_format_cast", "cpu_op")], "an Ascend NPU"),
        ([span(0, 10, "aten::_mps_convolution", "cpu_op")], "an Apple GPU"),
    ],
)
def test_another_vendor_is_named(tmp_path, events, vendor):
    assert f"of a program for {vendor}" in said(tmp_path, events)


def test_an_export_says_what_nsys_says(tmp_path):
    export = Export()
    export.call(0, 10, 1)
    message = "CUDA profiling might have not been started correctly."
    export.add("DIAGNOSTIC_EVENT", timestamp=0, source=1, severity=3, text=message)
    assert message in no_device(open_trace(export.sqlite(tmp_path / "e.sqlite")))


def test_a_recording_remembers_what_the_profiler_said(tmp_path):
    from idlescope.export.convert import convert

    log = ["failed with error CUPTI_ERROR_NOT_INITIALIZED (15)"]
    path = write(tmp_path / "t.json", [])
    path.write_text(json.dumps(document(WAITED, ERROR=log)))
    convert(path, tmp_path / "r.recording")
    assert open_trace(tmp_path / "r.recording").meta.profiler_errors == tuple(log)
