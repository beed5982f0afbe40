"""Completion in bash, zsh and fish: what is offered, and that it costs little."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from idlescope.cli import suggestions
from idlescope.cli.app import COMMANDS
from idlescope.hardware.gpus import GPUS
from idlescope.models.presets import MODELS

HEAVY = "('numpy', 'pandas', 'matplotlib', 'pyarrow', 'msgspec', 'torch', 'jinja2')"
PROGRAM = f"""
import sys
sys.argv = ["idlescope"]
from idlescope.cli import main
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""

ANSWERED = "answered"
ANSWERING = f"""
import os, sys
typed, sys.argv = sys.argv[1:], ["idlescope"]
from idlescope.cli import main
for words in typed:
    os.environ.update(COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1))
    try:
        main()
    except SystemExit:
        print("{ANSWERED}", flush=True)
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


def asked(**environment):
    """What the program answers a shell that asks it for completion, and what it imported."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert result.stderr.splitlines()[-1] == "[]", result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("bash", {"COMP_WORDS": "idlescope ", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "idlescope "}),
        (
            "fish",
            {
                "_TYPER_COMPLETE_ARGS": "idlescope ",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
        ),
    ],
)
def test_a_shell_is_offered_commands_and_gets_a_script(shell, environment):
    offered = asked(_IDLESCOPE_COMPLETE=f"complete_{shell}", **environment)
    assert all(command in offered for command in COMMANDS)
    script = asked(_IDLESCOPE_COMPLETE=f"source_{shell}")
    assert f"_IDLESCOPE_COMPLETE=complete_{shell}" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_with_that_script(tmp_path):
    program = tmp_path / "idlescope"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}")
    program.chmod(0o755)
    script = asked(_IDLESCOPE_COMPLETE="source_bash")
    asking = "COMP_WORDS=(idlescope an) COMP_CWORD=1; _idlescope_completion idlescope an"
    result = subprocess.run(
        [shutil.which("bash"), "-c", f'{script}\n{asking}; echo "${{COMPREPLY[@]}}"'],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=False,
    )
    assert result.stdout.split() == ["analyze"], result.stderr


OFFERED = {
    "idlescope s": ["sweep", "skill", "scrub", "schema"],
    "idlescope run --model qw": ["qwen3-0.6b", "qwen3-8b"],
    "idlescope run --device modelled:h1": ["modelled:h100", "modelled:h100-nvl", "modelled:h100-pcie"],
    "idlescope run --host-profile m": ["measured-here"],
    "idlescope analyze --mode s": ["sync"],
    "idlescope analyze --gpu b": ["b200"],
    "idlescope schema an": ["analysis"],
    "idlescope capture --engine v": ["vllm"],
}  # fmt: skip


@pytest.fixture(scope="module")
def offered():
    """What bash is offered for the last of the words that were typed; one process answers for all."""
    result = subprocess.run(
        [sys.executable, "-c", ANSWERING, *OFFERED],
        capture_output=True,
        text=True,
        env={**os.environ, "_IDLESCOPE_COMPLETE": "complete_bash"},
        check=False,
    )
    assert result.stderr.splitlines()[-1] == "[]", result.stderr
    answers = result.stdout.split(ANSWERED)
    return dict(zip(OFFERED, answers, strict=False))


@pytest.mark.parametrize("typed", OFFERED)
def test_values_are_offered_too(typed, offered):
    assert sorted(offered[typed].split()) == sorted(OFFERED[typed])


def test_the_names_that_are_offered_are_those_that_are_known():
    assert tuple(MODELS) == suggestions.MODELS
    assert tuple(GPUS) == suggestions.GPUS
