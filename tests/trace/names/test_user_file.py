"""More engines come from a file of the user's."""

from __future__ import annotations

import json

import pytest

import idlescope
from idlescope.errors import ConfigError
from idlescope.trace.names.user_file import load
from idlescope.trace.open import open_trace
from tests.make.kineto_files import call, operation, span, write


def test_an_engine_of_ones_own(tmp_path):
    rules = {"_comment": "mine", "mine": [["^loop$", "step"], ["^think", "schedule"]]}
    (tmp_path / "p.json").write_text(json.dumps(rules))
    engines = load(tmp_path / "p.json")
    events = [e for i in range(3) for e in (
        span(i * 1000, i * 1000 + 900, "loop"), span(i * 1000, i * 1000 + 500, "thinking"),
        call(i * 1000 + 600, i * 1000 + 610, i + 1), operation(i * 1000 + 700, i * 1000 + 800, correlation=i + 1),
    )]  # fmt: skip
    analysis = idlescope.analyze(
        open_trace(write(tmp_path / "t.json", events)), phases=engines
    )
    assert (analysis.engine, analysis.results[0].steps.found) == ("mine", "mine spans")
    assert next(iter(analysis.results[0].host_ns)) == "schedule (thinking)"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read: Expected `object`"),
        ('{"_comment": 5}', "names no engine"),
        ('{"a": [["(", "step"]]}', "is no regular expression"),
        ('{"a": [["x"]]}', "is not"),
        ('{"a": 5}', "is not"),
    ],
)
def test_what_is_no_phases_file(tmp_path, text, reason):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ConfigError, match=r"p\.json") as error:
        load(tmp_path / "p.json")
    assert reason in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.json")


def test_rules_of_ones_own_replace_those_of_a_known_engine(tmp_path):
    (tmp_path / "p.json").write_text('{"sglang": [["^decode$", "forward"]]}')
    events = [span(i * 1000, i * 1000 + 900, "decode") for i in range(3)]
    events += [call(i * 1000, i * 1000 + 10, i + 1) for i in range(3)]
    events += [
        operation(i * 1000 + 20, i * 1000 + 500, correlation=i + 1) for i in range(3)
    ]
    trace = open_trace(write(tmp_path / "t.json", events))
    analysis = idlescope.analyze(trace, phases=load(tmp_path / "p.json"))
    # SGLang's forward pass is one span, which begins a step
    assert (analysis.engine, len(analysis.results[0].steps)) == ("sglang", 3)
