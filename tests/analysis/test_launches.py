"""Operations are linked to the calls that launched them."""

import idlescope
from idlescope.analysis.launches import link
from tests.make.kineto_files import call, operation, write


def linked(tmp_path, *events):
    trace = idlescope.open(write(tmp_path / "t.json", list(events)))
    return trace, link(trace, trace.operations)


def test_the_first_record_of_a_call_counts(tmp_path):
    runtime = call(100, 400, 5)
    driver = call(150, 300, 5, "cuLaunchKernel")
    trace, launches = linked(tmp_path, driver, runtime, operation(500, 600, correlation=5))
    assert trace.calls.start[launches].tolist() == [100]


def test_operations_without_a_record_of_their_call_have_none(tmp_path):
    _, launches = linked(
        tmp_path,
        call(100, 200, 5),
        call(300, 400, 0),
        operation(500, 600, correlation=6),
        operation(700, 800),
    )
    assert launches.tolist() == [-1, -1]


def test_without_calls_nothing_is_linked(tmp_path):
    _, launches = linked(tmp_path, operation(500, 600, correlation=6))
    assert launches.tolist() == [-1]
