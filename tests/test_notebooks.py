"""The notebooks run from top to bottom, and what is committed of them is what such a run gives."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import FIXTURES

nbformat = pytest.importorskip(
    "nbformat", reason="the notebooks are run by nbclient: pip install -e '.[test]'"
)

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NEEDS_TORCH = "3_build_async_batching.ipynb"
MOST_BYTES = 250_000
OF_A_MACHINE = re.compile(
    r"/(home|root|tmp|Users|work|usr|opt|mnt|var)/|[A-Z]:\\\\|site-packages"
)


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def execute(path):
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    return subprocess.run(
        [sys.executable, FOLDER / "execute.py", path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def kinds(notebook):
    """What each cell puts out: texts by their stream, results by their formats."""
    return [
        [
            (o.output_type, o.get("name"), sorted(o.get("data", {})))
            for o in cell.get("outputs", [])
        ]
        for cell in notebook.cells
    ]


def test_there_are_four():
    assert [path.name[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_", "4_"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestCommitted:
    def test_outputs_are_there_and_none_is_an_error_or_a_warning(self, path):
        outputs = [o for cell in read(path).cells for o in cell.get("outputs", [])]
        assert {"stdout"} == {o.name for o in outputs if o.output_type == "stream"}
        assert {o.output_type for o in outputs} == {"stream", "execute_result"}
        assert sum("image/png" in o.get("data", {}) for o in outputs) >= 2

    def test_cells_were_run_once_in_order(self, path):
        code = [cell for cell in read(path).cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))

    def test_it_is_small_and_says_nothing_of_the_machine(self, path):
        assert path.stat().st_size < MOST_BYTES
        notebook = read(path)
        assert set(notebook.metadata) == {"kernelspec", "language_info"}
        assert notebook.metadata.language_info == {"name": "python"}
        for cell in notebook.cells:
            assert not cell.metadata
            texts = [cell.source, *(o.get("text", "") for o in cell.get("outputs", []))]
            texts += [
                v
                for o in cell.get("outputs", [])
                for k, v in o.get("data", {}).items()
                if k.startswith("text")
            ]
            assert not OF_A_MACHINE.search("\n".join(texts))

    def test_links_lead_somewhere(self, path):
        text = "\n".join(
            cell.source for cell in read(path).cells if cell.cell_type == "markdown"
        )
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (FOLDER / target).exists(), target


@pytest.mark.skipif(
    find_spec("nbclient") is None, reason="needs nbclient: pip install -e '.[test]'"
)
@pytest.mark.skipif(
    find_spec("ipykernel") is None, reason="needs ipykernel: pip install -e '.[test]'"
)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_puts_out_what_is_committed(path, tmp_path):
    """In a process of its own: a kernel's sockets and event loops are nothing that other tests should meet."""
    if path.name == NEEDS_TORCH:
        pytest.importorskip(
            "torch", reason="its last section runs a network on the CPU device"
        )
    copy = tmp_path / "notebooks" / path.name
    copy.parent.mkdir()
    shutil.copy(path, copy)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "fixtures").symlink_to(FIXTURES)
    before = sorted(copy.parent.iterdir())
    done = execute(copy)
    assert done.returncode == 0, done.stderr
    assert kinds(read(copy)) == kinds(read(path))
    assert (
        sorted(copy.parent.iterdir()) == before
    )  # a notebook leaves nothing beside itself


def test_a_cell_that_raises_is_an_error_and_leaves_the_file_as_it_was(tmp_path):
    pytest.importorskip("ipykernel")
    v4 = nbformat.v4
    path = tmp_path / "wrong.ipynb"
    nbformat.write(
        v4.new_notebook(
            cells=[v4.new_code_cell("assert 1 + 1 == 3, 'so it is not'", id="one")]
        ),
        path,
    )
    before = path.read_bytes()
    done = execute(path)
    assert done.returncode == 1
    assert "so it is not" in done.stderr
    assert path.read_bytes() == before
