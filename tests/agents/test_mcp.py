"""A conversation of the protocol's own client with `idlescope mcp`, over stdin and stdout, as recorded.

`python -m tests.agents.test_mcp` records it anew.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.conftest import FIXTURES

pytest.importorskip("mcp")
import anyio
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

RECORDED = Path(__file__).with_name("conversation.json")
SYNC, ITEM = "loop_sync.json.gz", "loop_item.json.gz"
QUESTIONS = [
    ("analyze", {"trace": SYNC}),
    ("gaps", {"trace": SYNC, "cause": "host", "most": 2}),
    ("steps", {"trace": SYNC, "most": 2}),
    ("predict", {"trace": SYNC, "without": "nothing of the kind"}),
    ("predict", {"trace": SYNC}),
    ("compare", {"base": [SYNC], "other": [ITEM]}),
    ("check", {"trace": SYNC, "max_idle": "5%"}),
    ("explain", {"word": "serialised"}),
    # refusals: what a trace does not tell is an answer, what cannot be asked is an error
    ("analyze", {"trace": "expected.json"}),
    ("explain", {"word": "syncronous"}),
    ("gaps", {"trace": SYNC, "most": 1_000}),
    ("analyze", {"trace": "../make/traces.py"}),
]  # fmt: skip


async def conversation() -> list[dict]:
    """Ask all questions in one session; the client itself validates answers by their schemas."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "idlescope", "mcp", "."],
        cwd=FIXTURES,
        env={**os.environ, "PYTHONPATH": str(FIXTURES.parents[1])},
    )
    said = []
    async with stdio_client(server) as streams, ClientSession(*streams) as client:
        greeting = await client.initialize()
        said.append(
            {"server": greeting.server_info.name, "instructions": greeting.instructions}
        )
        listed = await client.list_tools()
        said += [tool.model_dump(exclude_none=True) for tool in listed.tools]
        for name, arguments in QUESTIONS:
            result = await client.call_tool(name, arguments)
            answer = result.structured_content
            text = result.content[0].text
            assert result.is_error == (answer is None)
            assert answer is None or json.loads(text) == answer
            said.append(
                {
                    "tool": name,
                    "arguments": arguments,
                    "answer": text if answer is None else answer,
                }
            )
    return said


def same_everywhere(said: list[dict]) -> list[dict]:
    """Leave out where the checkout lies."""
    text = json.dumps(said, indent=1, ensure_ascii=False)
    return json.loads(re.sub(r"[^\"' ]*/(?=tests/(fixtures|make))", "", text))


@pytest.fixture(scope="module")
def said():
    return same_everywhere(anyio.run(conversation))


def test_the_conversation_is_the_one_that_was_recorded(said):
    recorded = json.loads(RECORDED.read_text("utf-8"))
    assert [part.get("tool", part.get("name")) for part in said] == [
        part.get("tool", part.get("name")) for part in recorded
    ]
    for part, known in zip(said, recorded, strict=True):
        assert part == known


def test_every_answer_is_small(said):
    for part in said:
        assert len(json.dumps(part.get("answer", ""))) < 8_000, part["tool"]


def test_figures_are_those_of_the_command(said):
    from tests.make.commands import idlescope

    (device,) = json.loads(idlescope("analyze", FIXTURES / SYNC, "--json").stdout)[
        "devices"
    ]
    answer = next(part["answer"] for part in said if part.get("tool") == "analyze")
    (told,) = answer["devices"]
    assert told["idle_pct"] == device["idle_pct"]
    assert told["cause_ms"] == pytest.approx(
        {cause: ns / 1e6 for cause, ns in device["cause_ns"].items()}
    )
    assert told["says"] == device["verdict"]["text"]


def test_what_a_file_does_not_tell_is_a_typed_refusal(said):
    refused = [
        part["answer"]
        for part in said
        if part.get("arguments") == {"trace": "expected.json"}
    ]
    assert refused[0]["cannot_tell"]["why"]
    assert "Record" in refused[0]["cannot_tell"]["record"]
    assert refused[0]["devices"] == []


if __name__ == "__main__":
    found = same_everywhere(anyio.run(conversation))
    RECORDED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
