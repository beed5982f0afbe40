"""Without torch everything works but the devices that need it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import FIXTURES
from tests.make.commands import ROOT, without

BLOCKED = ("torch", "safetensors", "tokenizers", "transformers")
TINY = ("--model", "tiny", "--tokens", "5", "--device", "modelled")
# what each command says, among other things
SAYS = {
    ("analyze", str(FIXTURES / "transformers_sync.json.gz")): "The device is idle",
    ("run", *TINY, "--out", "made"): "report.html",
    ("sweep", *TINY, "--batch-size", "1,8", "--jobs", "1"): "tiny modelled:h200 batch 8",
    ("doctor",): "no NVIDIA",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("without torch")
    return {tuple(done.args[1:]): done for done in without(BLOCKED, SAYS, folder)}


@pytest.mark.parametrize("command", SAYS, ids=lambda command: command[0])
def test_commands_run_where_torch_cannot_be_imported(results, command):
    assert (results[command].returncode, results[command].stderr) == (0, "")
    assert SAYS[command] in results[command].stdout


def test_names_that_need_it_are_imported_when_they_are_used():
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({BLOCKED}))\n"
        "import idlescope, idlescope.models.hugging_face"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
