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
IdleCheck: TypeAlias = "Callable[..., list[Check]]"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(max_idle, max_idle_ms_per_step, min_coverage, max_regression, against): limits that traces given to "
        f"the fixture {FIXTURE} must keep to, as of `idlescope check`",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a marked test that could not check anything. Raises UsageError."""
    for item in items:
        if item.get_closest_marker(MARKER) and FIXTURE not in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(
                f"{item.nodeid} is marked {MARKER} but does not use the fixture {FIXTURE}, so nothing would be checked"
            )


@pytest.fixture
def idle_check(request: pytest.FixtureRequest) -> Iterator[IdleCheck]:
    """Return a function that holds a trace to limits and fails the test where one is broken.

    Called with a path (as of `idlescope check`), a Trace or an Analysis; the limits of the marker hold unless others
    are given by name. `against` is what regressions are measured from, one recording or a list; `window`, `devices`,
    `process`, `phases` and `mode` are as of `idlescope.analyze` and `idlescope.compare`. It returns the checks.
    """
    marked: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers(MARKER))):  # the closest last
        if marker.args:
            pytest.fail(
                f"@pytest.mark.{MARKER} takes limits by name, as in max_idle='5%'", pytrace=False
            )
        marked |= marker.kwargs
    checked = 0

    def check(trace: Any, **limits: Any) -> list[Check]:
        nonlocal checked
        checks = _checked(trace, {**marked, **limits})
        checked += 1
        if broken := [c.says for c in checks if not c.holds]:
            pytest.fail("\n".join(broken), pytrace=False)
        return checks

    yield check
    if marked and not checked:
        pytest.fail(
            f"{FIXTURE} was never called, so the limits of @pytest.mark.{MARKER} were not checked",
            pytrace=False,
        )


def _checked(trace: Any, options: dict[str, Any]) -> list[Check]:
    from idlescope.analysis.comparison.checks import examine
    from idlescope.analysis.comparison.limits import Limits
    from idlescope.errors import IdlescopeError

    others = {
        name: options.pop(name)
        for name in ("window", "devices", "process", "phases", "mode")
        if name in options
    }
    against = options.pop("against", None) or ()
    try:
        limits = Limits.of(**options)
        return examine(
            trace, limits, against if isinstance(against, (list, tuple)) else [against], **others
        )
    except IdlescopeError as error:
        said = str(error)
    pytest.fail(said, pytrace=False)
