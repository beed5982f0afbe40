"""Answers are typed, small whatever a trace holds, and refuse in types of their own."""

from __future__ import annotations

import json

import msgspec
import pytest

from idlescope.agents.bounded import stack_texts
from idlescope.agents.memory import Memory
from idlescope.agents.roots import Roots
from idlescope.agents.skill import skill_text
from idlescope.agents.tools import TOOLS, answer, not_told
from idlescope.errors import ConfigError
from tests.conftest import FIXTURES
from tests.make.commands import idlescope
from tests.make.kineto_files import call, operation, span, write

LIMIT_BYTES = 24_000


@pytest.fixture(scope="module")
def memory():
    return Memory()


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_schemas_are_objects_that_stand_alone(tool):
    for schema in (tool.input_schema(), tool.output_schema()):
        assert schema["type"] == "object"
        named = set(json.dumps(schema).split('"#/$defs/')[1:])
        assert {name.split('"')[0] for name in named} == set(schema.get("$defs", {}))


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_refusal_is_of_the_tools_own_type(tool):
    if tool.name == "explain":
        pytest.skip("a word that is not known is an error")
    refusal = not_told(tool.answered, "The recording ends early.")
    again = msgspec.convert(msgspec.to_builtins(refusal), tool.answered)
    assert again.cannot_tell.why == "The recording ends early."


def test_a_trace_of_endless_names_gives_small_answers(tmp_path, memory):
    events = []
    for number in range(400):
        start = 100_000 * number
        events += [
            span(start, start + 40_000, f"{number} " + "x" * 5_000),
            call(start + 40_000, start + 42_000, number + 1),
            operation(
                start + 45_000, start + 60_000, correlation=number + 1, name="y" * 5_000
            ),
        ]
    trace = write(tmp_path / "names.json.gz", events)
    roots = Roots([tmp_path])
    for name, more in [
        ("analyze", {}),
        ("gaps", {"most": 30}),
        ("steps", {"most": 50}),
        ("predict", {}),
    ]:
        answered = answer(memory, roots, name, {"trace": str(trace), **more})
        assert len(msgspec.json.encode(answered)) < LIMIT_BYTES, name


def test_a_deep_stack_keeps_both_ends():
    shown = stack_texts([f"frame {number}" for number in range(100)])
    assert shown[0] == "frame 0"
    assert shown[-1] == "frame 99"
    assert "… 88 more …" in shown


def test_a_prediction_that_cannot_be_made_says_why(memory):
    answered = answer(
        memory,
        Roots([FIXTURES]),
        "predict",
        {"trace": str(FIXTURES / "loop_sync.json.gz"), "window": "steps:6-7"},
    )
    assert answered.devices == []
    assert answered.cannot_tell.why
    assert "idlescope doctor" in answered.cannot_tell.record


def test_a_recorded_refusal_is_passed_on(tmp_path, memory):
    trace = write(
        tmp_path / "host.json.gz", [span(0, 10, "cb:prepare_batch_tensors"), call(1, 2, 1)]
    )
    answered = answer(memory, Roots([tmp_path]), "analyze", {"trace": str(trace)})
    assert answered.devices == []
    assert answered.cannot_tell is not None


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("tea", {}, "there is no such tool"),
        ("analyze", {}, "missing required field `trace`"),
        ("analyze", {"trace": "loop_sync.json.gz", "colour": 1}, "unknown field `colour`"),
        ("steps", {"trace": "loop_sync.json.gz", "order": "x"}, "there is no such order"),
        ("gaps", {"trace": "loop_sync.json.gz", "device": 7}, "there is no device 7"),
        ("check", {"trace": "loop_sync.json.gz"}, "nothing to check"),
        ("predict", {"trace": "loop_sync.json.gz", "depth": 0}, "--depth is 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_an_error_in_a_sentence(
    memory, monkeypatch, name, arguments, says
):
    monkeypatch.chdir(FIXTURES)
    with pytest.raises(ConfigError, match=says):
        answer(memory, Roots([FIXTURES]), name, arguments)


def test_the_skill_is_printed_and_names_every_tool_and_command():
    shown = idlescope("skill").stdout
    assert shown == skill_text()
    assert shown.startswith("---\nname: idlescope\ndescription: ")
    assert all(f"`{tool.name}`" in shown for tool in TOOLS)


def test_without_the_library_the_extra_is_named(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.setitem(sys.modules, "mcp.server.stdio", None)
    result = idlescope("mcp", tmp_path)
    assert result.returncode == 2
    assert "pip install 'idlescope[mcp]'" in result.stderr
