"""A pytest plugin: hold the traces that an engine's own tests record to limits.

    @pytest.mark.idlescope(max_idle="5%", min_coverage="95%")
    def test_decode_keeps_the_gpu_busy(idle_check, tmp_path):
        record(tmp_path / "trace.json")
        idle_check(tmp_path / "trace.json")

Nothing but pytest is imported until a trace is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from idlescope.analysis.comparison.checks import Check

MARKER = "idlescope"
FIXTURE = "idle_check"
# What of a trace is looked at, beside the limits.
SELECTION = ("window", "devices", "process", "phases", "mode")
IdleCheck: TypeAlias = "Callable[..., list[Check]]"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(max_idle, max_idle_ms_per_step, min_coverage, max_regression, against): "
        f"limits that traces given to the fixture {FIXTURE} must keep to, as of `idlescope check`",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a marked test that could not check anything. Raises UsageError."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if item.get_closest_marker(MARKER) and FIXTURE not in fixtures:
            raise pytest.UsageError(
                f"{item.nodeid} is marked {MARKER} but does not use the fixture {FIXTURE}, "
                "so nothing would be checked"
            )


@pytest.fixture
def idle_check(request: pytest.FixtureRequest) -> Iterator[IdleCheck]:
    """Return a function that holds a trace to limits and fails the test where one is broken.

    Called with a path (as of `idlescope check`), a Trace or an Analysis; the limits of the marker
    hold unless others are given by name. `against` is what regressions are measured from, one
    recording or a list; `window`, `devices`, `process`, `phases` and `mode` are as of
    `idlescope.analyze` and `idlescope.compare`. It returns the checks.
    """
    marked_limits = _limits_of_markers(request.node)
    calls = 0

    def check(trace: Any, **limits: Any) -> list[Check]:
        nonlocal calls
        checks = _checked(trace, {**marked_limits, **limits})
        calls += 1
        broken = [result.says for result in checks if not result.holds]
        if broken:
            from idlescope.report.text import as_line

            pytest.fail("\n".join(map(as_line, broken)), pytrace=False)
        return checks

    yield check
    if marked_limits and not calls:
        pytest.fail(
            f"{FIXTURE} was never called, so the limits of @pytest.mark.{MARKER} were not checked",
            pytrace=False,
        )


def _limits_of_markers(item: pytest.Item) -> dict[str, Any]:
    """Return the limits of a test's markers; those of the closest hold."""
    limits: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers(MARKER))):  # the closest last
        if marker.args:
            pytest.fail(
                f"@pytest.mark.{MARKER} takes limits by name, as in max_idle='5%'",
                pytrace=False,
            )
        limits |= marker.kwargs
    return limits


def _checked(trace: Any, options: dict[str, Any]) -> list[Check]:
    """Return the checks of a trace; fail the test in a sentence where it cannot be checked."""
    from idlescope.analysis.comparison.checks import examine
    from idlescope.analysis.comparison.limits import Limits
    from idlescope.errors import IdlescopeError

    selection = {name: options.pop(name) for name in SELECTION if name in options}
    against = options.pop("against", None) or ()
    if not isinstance(against, (list, tuple)):
        against = [against]
    try:
        return examine(trace, Limits.of(**options), against, **selection)
    except IdlescopeError as error:
        message = str(error)
    pytest.fail(message, pytrace=False)
