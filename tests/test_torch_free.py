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
import idlescope, idlescope.engine.hf_config
from idlescope.cli import main
main()
"""


@pytest.mark.parametrize(
    "command",
    [
        ("analyze", str(FIXTURES / "transformers_sync.json.gz")),
        ("run", "--model", "tiny", "--tokens", "5", "--batch-size", "2", "--device", "modelled", "--out", "made"),
        ("doctor",),
    ],
    ids=lambda command: command[0],
)
def test_commands_run_where_torch_cannot_be_imported(command, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "idle" in result.stdout  # "idlescope", of the doctor
