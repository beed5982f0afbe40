"""Without torch everything works but the devices that need it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import FIXTURES

BLOCKED = ("torch", "safetensors", "tokenizers", "transformers")
PROGRAM = f"""
import sys
sys.modules.update(dict.fromkeys({BLOCKED}))  # to import one of them is an ImportError
import idlescope, idlescope.models.hugging_face
from idlescope.cli import main
main()
"""


@pytest.mark.parametrize(
    ("says", "command"),
    [
        ("The device is idle", ("analyze", str(FIXTURES / "transformers_sync.json.gz"))),
        (
            "report.html",
            (
                "run",
                "--model",
                "tiny",
                "--tokens",
                "5",
                "--device",
                "modelled",
                "--out",
                "made",
            ),
        ),
        (
            "tiny modelled:h200 batch 8",
            ("sweep", "--model", "tiny", "--tokens", "5", "--device", "modelled"),
        ),
        ("no NVIDIA", ("doctor",)),
    ],
    ids=["analyze", "run", "sweep", "doctor"],
)
def test_commands_run_where_torch_cannot_be_imported(says, command, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert says in result.stdout
