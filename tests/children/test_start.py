"""Neither a command nor a child of one imports anything of the folder that it is started in."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import idlescope
from idlescope.children.start import command
from idlescope.trace.kineto import parts
from idlescope.trace.kineto.part_bytes import PartBytesError, packed, packed_error, unpacked
from idlescope.trace.kineto.parts import Reading, read_part
from tests.make.damaged_kineto import COUNT, WHOLE
from tests.make.kineto_files import read_text

PACKAGE = Path(idlescope.__file__).parent
TRAPS = (
    "numpy.py",
    "json.py",
    "msgspec.py",
    "typing.py",
    "torch.py",
    "idlescope/__init__.py",
)


@pytest.fixture
def trapped(tmp_path):
    """A folder whose modules say so where they run."""
    for name in TRAPS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(
            "open('/dev/stderr', 'w').write('TRAPPED')\nraise SystemExit(9)\n"
        )
    (tmp_path / "t.json").write_text(WHOLE if isinstance(WHOLE, str) else WHOLE.decode())
    return tmp_path


def ran(words, folder, path):
    """What a child says whose parent lives: its input is open, and nothing comes."""
    environment = {"PYTHONPATH": path, "PATH": "/usr/bin:/bin"}
    lifeline, parents_end = os.pipe()
    try:
        return subprocess.run(
            words,
            cwd=folder,
            capture_output=True,
            env=environment,
            check=False,
            stdin=lifeline,
        )
    finally:
        os.close(lifeline)
        os.close(parents_end)


def test_a_child_imports_nothing_of_the_current_folder(trapped):
    words = command(
        "idlescope.trace.kineto.parts", str(trapped / "t.json"), "0", "", "1", "0"
    )
    for path in ("", f"{trapped}", ".:"):
        child = ran(words, trapped, path)
        assert (child.returncode, child.stderr) == (0, b"")
        assert (
            sum(len(table) for table in unpacked(child.stdout).tables[parts_operations()])
            == COUNT
        )


def parts_operations():
    from idlescope.trace.model import Operations

    return Operations


def test_nor_does_python_m_idlescope_once_it_is_found(tmp_path):
    for name in ("numpy.py", "msgspec.py", "rich.py"):
        (tmp_path / name).write_text("raise SystemExit('TRAPPED')")
    words = [sys.executable, "-m", "idlescope", "schema", "summary"]
    child = ran(words, tmp_path, str(PACKAGE.parent))
    assert (child.returncode, child.stderr) == (0, b"")


def test_children_are_started_by_path_and_isolated():
    first, isolated, entry, import_path, *rest = command("idlescope.x", "a")
    assert (first, isolated, rest) == (sys.executable, "-I", ["idlescope.x", "a"])
    assert Path(entry).is_file()
    assert all(Path(folder).is_absolute() for folder in json.loads(import_path))


def test_nothing_that_could_run_is_sent_to_or_taken_from_a_process():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            )
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "marshal", "shelve", "concurrent.futures.process"} & set(
                names
            ), path


class TestPartBytes:
    @pytest.fixture
    def part(self, tmp_path):
        read_text(tmp_path, WHOLE)
        found = read_part(Reading(tmp_path / "t.json", frames=True, own=False), 0, None)
        found.join()
        return found

    def test_a_part_comes_back_as_it_was(self, part):
        got = unpacked(b"".join(packed(part)))
        assert got.names == part.names
        assert got.damage == part.damage
        for kind, (table,) in part.tables.items():
            assert got.tables[kind][0].to_frame().equals(table.to_frame())

    def test_the_second_process_is_really_used(self, tmp_path, monkeypatch):
        monkeypatch.setattr(parts, "PART_BYTES", 500)
        monkeypatch.setenv("IDLESCOPE_JOBS", "2")
        here = []
        monkeypatch.setattr(
            parts, "read_part", lambda *how: here.append(how) or read_part(*how)
        )
        assert len(read_text(tmp_path, WHOLE).operations) == COUNT
        assert len(here) == 1

    def test_an_error_comes_back_as_one(self):
        from idlescope.errors import TraceError

        with pytest.raises(TraceError, match="is empty"):
            unpacked(b"".join(packed_error(TraceError("t.json is empty"))))

    def test_what_is_no_part_is_refused(self, part):
        sent = b"".join(packed(part))
        for broken in (
            b"",
            sent[:7],
            sent[:200],
            sent[:-9],
            b"\xff" * 64,
            sent[:8] + b"{}" + sent[10:],
        ):
            with pytest.raises(PartBytesError):
                unpacked(broken)
