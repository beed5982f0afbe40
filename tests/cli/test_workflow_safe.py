"""In GitHub's Actions no line is a command to the runner but those that are meant to be."""

from __future__ import annotations

import io

import pytest

from idlescope.cli.workflow_safe import WorkflowSafe, say_command
from idlescope.report.text import as_cell, to_text, visible
from tests.make.commands import idlescope
from tests.make.kineto_files import operation, write


def written(*texts):
    buffer = io.BytesIO()
    stream = WorkflowSafe(buffer, encoding="utf-8", write_through=True)
    for text in texts:
        stream.write(text)
    return buffer.getvalue().decode()


@pytest.mark.parametrize(
    ("texts", "printed"),
    [
        (["::error::x\n"], "…::error::x\n"),
        (["a\n", "  ::error::x"], "a\n  …::error::x"),
        (["a ::error::x\n"], "a ::error::x\n"),
        (["a", "::error::x"], "a::error::x"),
        (["  ", "::error::x"], "  …::error::x"),
        (["a\n\n::x\n::y"], "a\n\n…::x\n…::y"),
        (["at::native::add\n"], "at::native::add\n"),
    ],
)
def test_lines_that_would_begin_as_commands_do_not(texts, printed):
    assert written(*texts) == printed


def test_commands_that_are_meant_are_commands():
    stream = WorkflowSafe(io.BytesIO(), encoding="utf-8", write_through=True)
    say_command("::error::idle", stream)
    assert stream.buffer.getvalue() == b"::error::idle\n"


@pytest.mark.parametrize("letters", range(70, 101, 6))
def test_a_long_path_that_is_wrapped_is_none(tmp_path, monkeypatch, letters):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.chdir(tmp_path)
    name = f"{'a' * letters}::error::x.json"
    write(tmp_path / name, [operation(0, 10, name="::warning::k"), operation(20, 30)])
    result = idlescope("analyze", name)
    assert result.returncode == 0
    lines = [*result.stdout.splitlines(), *result.stderr.splitlines()]
    assert not [line for line in lines if line.lstrip().startswith("::") or "##[" in line]


def test_marks_that_are_not_seen_are_escaped_everywhere(tmp_path):
    name = "a\u202eb\u200bc\ufeffd\U000e0041##[error]"
    path = write(tmp_path / "t.json", [operation(0, 10, name=name), operation(20, 30)])
    for result in (idlescope("analyze", path), idlescope("analyze", path, "--json")):
        assert not set("\u202e\u200b\ufeff\U000e0041") & set(result.stdout)
        assert "##[" not in result.stdout
    assert set(visible(name)) & set("\u202e\u200b\ufeff") == set()


def test_json_says_the_same_in_escapes():
    import json

    document = {"name": "a\u202e\u200b\x7f##[x]é\U000e0041"}
    assert json.loads(to_text(document)) == document
    assert "é" in to_text(document)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_cells_are_no_formulas(text):
    assert as_cell(text) == f"'{text}"
    assert as_cell("plain") == "plain"
