"""What cannot be recorded is refused in a sentence, before any server is asked."""

from __future__ import annotations

import pytest

from idlescope.capture.server.recording import Recording
from idlescope.errors import ConfigError
from tests.conftest import FIXTURES


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"url": "localhost:8000"}, "no address"),
        ({"url": "http://h:99999"}, "no address"),
        ({"url": "file:///etc"}, "no address"),
        ({"url": "http://h/ü"}, "no address"),
        ({"url": "http://me:secret@h"}, "without user"),
        ({"engine": "tgi"}, "vllm or sglang"),
        ({"seconds": 0.0}, "--seconds"),
        ({"timeout": float("nan")}, "--timeout"),
        ({"ranks": 0}, "--ranks"),
        ({"steps": 0}, "--steps"),
        ({"traces": FIXTURES / "missing"}, "is no folder"),
    ],
)
def test_what_cannot_be_recorded_is_refused(options, part):
    with pytest.raises(ConfigError, match=part) as caught:
        Recording(
            **{"url": "http://localhost:1", "engine": "vllm", "traces": FIXTURES, **options}
        )
    assert "secret" not in str(caught.value)


def test_a_time_is_recorded_unless_steps_are_which_are_waited_for_longer():
    recording = Recording("http://localhost:1", "vllm", FIXTURES)
    assert recording.longest_s == 5
    assert Recording("http://localhost:1", "vllm", FIXTURES, steps=3).longest_s == 60
    assert Recording("http://localhost:1", "vllm", FIXTURES, 9, steps=3).longest_s == 9
