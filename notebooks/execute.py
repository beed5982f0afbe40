"""Run notebooks again, each in its own folder, and write them back with their new outputs and nothing of the machine.

    python notebooks/execute.py [NOTEBOOK ...]        # all of this folder unless named; needs the extra [test]

A notebook whose cell raises is left as it was, and the exit code is 1.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
LIMIT_S = 120  # for one cell


def execute(path: Path) -> None:
    """Run one notebook and replace it. Raises CellExecutionError and leaves the file alone where a cell raises."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=LIMIT_S,
        kernel_name="python3",
        coalesce_streams=True,
        extra_arguments=[
            "--log-level=ERROR"
        ],  # without what every kernel says of its sockets
        resources={"metadata": {"path": path.parent}},
    )
    client.execute()
    clean(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def clean(notebook: nbformat.NotebookNode) -> None:
    """Take out what tells of the machine and the moment, and differs from run to run."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.metadata = {}
        cell.id = f"cell-{number}"


def main(paths: list[str]) -> int:
    """Run the notebooks named, or all beside this file; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "IPYTHONDIR": folder,
            "JUPYTER_RUNTIME_DIR": folder,
        }  # nobody's start-up files, history, sockets
        for path in [Path(p).resolve() for p in paths] or sorted(HERE.glob("*.ipynb")):
            try:
                execute(path)
            except CellExecutionError as error:
                print(f"{path.name}: {error}", file=sys.stderr)
                return 1
            print(f"{path.name}: {path.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
