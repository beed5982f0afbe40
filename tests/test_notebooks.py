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
HAS_TORCH = find_spec("torch") is not None
# What Python imports as a kernel starts: workers of its CPU device are forked, as in the other tests.
FORKING = """
import sys

if sys.platform == "linux" and "ipykernel_launcher" in sys.orig_argv:
    from idlescope.engine.devices.cpu import CpuDevice
    from tests.make.forked_workers import spawn

    CpuDevice._spawn = spawn
"""
MOST_BYTES = 250_000
OF_A_MACHINE = re.compile(
    r"/(home|root|tmp|Users|work|usr|opt|mnt|var)/|[A-Z]:\\\\|site-packages"
)


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def execute(*paths, **environment):
    """In a process of its own: a kernel's sockets and event loops are nothing that other tests should meet."""
    return subprocess.run(
        [sys.executable, FOLDER / "execute.py", *paths],
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent), **environment},
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


@pytest.fixture(scope="module")
def run_again(tmp_path_factory):
    """Copies of the notebooks in a folder of their own, run by one process; and how that ended."""
    for needed in ("nbclient", "ipykernel"):
        pytest.importorskip(needed, reason=f"needs {needed}: pip install -e '.[test]'")
    scratch = tmp_path_factory.mktemp("scratch")
    (scratch / "tests").mkdir()
    (scratch / "tests" / "fixtures").symlink_to(FIXTURES)
    (scratch / "notebooks").mkdir()
    can_be_run = [path for path in NOTEBOOKS if path.name != NEEDS_TORCH or HAS_TORCH]
    copies = [Path(shutil.copy(path, scratch / "notebooks")) for path in can_be_run]
    (scratch / "sitecustomize.py").write_text(FORKING)
    return scratch / "notebooks", execute(*copies, PYTHONPATH=f"{FOLDER.parent}:{scratch}")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_puts_out_what_is_committed(path, run_again):
    if path.name == NEEDS_TORCH and not HAS_TORCH:
        pytest.skip("its last section runs a network on the CPU device: no torch")
    folder, done = run_again
    assert done.returncode == 0, done.stderr
    assert f"{path.name}: " in done.stdout
    assert kinds(read(folder / path.name)) == kinds(read(path))


def test_a_notebook_leaves_nothing_beside_itself(run_again):
    folder, done = run_again
    assert done.returncode == 0, done.stderr
    ran = {path.name for path in NOTEBOOKS if path.name != NEEDS_TORCH or HAS_TORCH}
    assert {path.name for path in folder.iterdir()} == ran


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
