"""The pytest plugin in a test suite of its own."""

from __future__ import annotations

import pytest

from tests.conftest import FIXTURES

pytest_plugins = ["pytester"]
PLUGIN = "idlescope.pytest_plugin"
EAGER = FIXTURES / "loop_eager.json.gz"
SYNC, ITEM = FIXTURES / "loop_sync.json.gz", FIXTURES / "loop_item.json.gz"


@pytest.fixture
def run(pytester, monkeypatch):
    """Run the body of a test module."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(source, *options, how=pytester.runpytest_inprocess):
        pytester.makepyfile(f"import pytest\n{source}")
        return how("-p", PLUGIN, "--strict-markers", "-p", "no:cacheprovider", *options)

    return run


def test_limits_that_hold_pass_and_the_checks_are_returned(run):
    result = run(f"""
@pytest.mark.idlescope(max_idle="30%", min_coverage="95%")
def test_it(idle_check):
    assert [c.limit for c in idle_check({str(SYNC)!r})] == ["max_idle", "min_coverage"]
""")
    result.assert_outcomes(passed=1)


def test_a_broken_limit_fails_with_its_sentence_and_no_traceback(run):
    result = run(f"""
@pytest.mark.idlescope(max_idle=5)
def test_it(idle_check):
    idle_check({str(SYNC)!r})
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["device 0 NVIDIA H100 80GB HBM3: idle is 28.4615 %, more than the 5 % allowed"]
    )
    result.stdout.no_fnmatch_line("*Error*")


def test_limits_of_the_call_come_before_those_of_the_test_and_these_before_the_class(run):
    result = run(f"""
@pytest.mark.idlescope(max_idle="1%")
class TestIt:
    @pytest.mark.idlescope(max_idle="30%")
    def test_of_the_test(self, idle_check):
        idle_check({str(SYNC)!r})

    def test_of_the_call(self, idle_check):
        idle_check({str(SYNC)!r}, max_idle="29%")

    def test_of_the_class(self, idle_check):
        idle_check({str(SYNC)!r})
""")
    result.assert_outcomes(passed=2, failed=1)


def test_a_regression_against_one_or_several(run):
    result = run(f"""
def test_none(idle_check):
    idle_check({str(ITEM)!r}, max_regression="2%", against={str(SYNC)!r})

def test_some(idle_check):
    idle_check({str(EAGER)!r}, max_regression="2%", against=[{str(SYNC)!r}])
""")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*takes 50.11 % longer per step than its base, 2 % were allowed*"]
    )


def test_a_trace_or_an_analysis_can_be_given(run):
    result = run(f"""
import idlescope

def test_it(idle_check):
    trace = idlescope.open({str(SYNC)!r})
    idle_check(trace, max_idle="30%", window="steps:7-12")
    idle_check(idlescope.analyze(trace), max_idle="30%")
""")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("max_idel='5%'", "max_idel is no limit: give max_idle, max_idle_ms_per_step*"),
        ("max_idle=float('nan')", "--max-idle nan: give per cent, as in 5%"),
        ("max_idle='much'", "--max-idle much: give per cent, as in 5%"),
        ("", "nothing to check: give *"),
    ],
)
def test_what_cannot_be_checked_fails_in_a_sentence(run, call, says):
    result = run(f"def test_it(idle_check):\n    idle_check({str(SYNC)!r}, {call})")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([says])


def test_a_trace_that_is_not_there_fails(run):
    result = run("def test_it(idle_check):\n    idle_check('no.json', max_idle=5)")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["no.json does not exist: *"])


def test_a_marked_test_that_checks_nothing_never_passes(run):
    unused = run("@pytest.mark.idlescope(max_idle=5)\ndef test_it(): pass")
    assert unused.ret == pytest.ExitCode.USAGE_ERROR
    unused.stderr.fnmatch_lines(
        ["*test_it is marked idlescope but does not use the fixture idle_check*"]
    )
    uncalled = run("@pytest.mark.idlescope(max_idle=5)\ndef test_it(idle_check): pass")
    uncalled.assert_outcomes(passed=1, errors=1)
    uncalled.stdout.fnmatch_lines(["idle_check was never called*"])
    positional = run("@pytest.mark.idlescope(5)\ndef test_it(idle_check): pass")
    positional.assert_outcomes(errors=1)


def test_start_up_imports_nothing_heavy_and_the_marker_is_listed(run, pytester):
    result = run(
        """
import sys

def test_it():
    heavy = ("numpy", "pandas", "matplotlib", "pyarrow", "msgspec", "torch", "rich", "typer")
    assert [name for name in heavy if name in sys.modules] == []
    ours = [name for name in sys.modules if name.startswith("idlescope.")]
    assert ours == ["idlescope.pytest_plugin"]
""",
        "-p",
        "no:hypothesispytest",
        how=pytester.runpytest_subprocess,
    )
    result.assert_outcomes(passed=1)
    result = run("", "--markers")
    result.stdout.fnmatch_lines(
        ["@pytest.mark.idlescope(max_idle, max_idle_ms_per_step, *"]
    )
