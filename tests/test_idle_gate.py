"""The script of the action `.github/actions/idle-gate`, with a `gh` that only writes down what it was asked."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from tests.make.undrawn import UNDRAWN

ACTION = Path(__file__).resolve().parents[1] / ".github" / "actions" / "idle-gate"
GOOD, BAD = FIXTURES / "loop_async.json.gz", FIXTURES / "loop_sync.json.gz"
GH = """#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
  *--paginate*) cat "$EARLIER" 2> /dev/null ;;
esac
exit 0
"""

IDLESCOPE = f'exec {sys.executable} -c {shlex.quote(UNDRAWN)} "$@"'

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or not ACTION.exists(),
    reason="needs bash and the checkout",
)


class Runner:
    """A machine that runs the action."""

    def __init__(self, folder, idlescope=IDLESCOPE):
        self.folder = folder
        self.calls, self.earlier = folder / "calls", folder / "earlier"
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "gh").write_text(GH)
        (bin_folder / "idlescope").write_text(f"#!/bin/sh\n{idlescope}\n")
        for program in bin_folder.iterdir():
            program.chmod(0o755)
        self.path = f"{bin_folder}:{os.environ['PATH']}"

    def run(self, trace, commit, **more):
        for name in ("output", "summary"):
            (self.folder / name).unlink(missing_ok=True)
        environment = {
            **os.environ, "PATH": self.path, "PYTHONPATH": str(ACTION.parents[2]), "CALLS": str(self.calls),
            "EARLIER": str(self.earlier), "RUNNER_TEMP": str(self.folder), "GITHUB_REPOSITORY": "a/b",
            "GITHUB_OUTPUT": str(self.folder / "output"), "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "GITHUB_ACTIONS": "true", "GATE_TRACE": str(trace), "GATE_NAME": "decode", "GATE_COMMIT": commit,
            "GATE_LIMITS": "--min-coverage 95%", "GATE_MAX_REGRESSION": "2%", "GATE_MAX_CREEP": "10%", **more,
        }  # fmt: skip
        return subprocess.run(
            ["bash", ACTION / "gate.sh"],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def outputs(self):
        return dict(
            line.split("=", 1) for line in (self.folder / "output").read_text().splitlines()
        )

    def summary(self):
        return (self.folder / "summary").read_text()

    def asked(self):
        return self.calls.read_text() if self.calls.exists() else ""


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)


@pytest.fixture
def content(tmp_path):
    """A machine on which whatever is compared and checked is as it should be."""
    return Runner(tmp_path, idlescope="exit 0")


def test_a_branch_keeps_its_recording_and_a_pull_request_is_compared_with_it(runner):
    first = runner.run(GOOD, "c0")
    assert first.returncode == 0, first.stderr
    assert runner.outputs()["kept"] == "true"
    assert "There is no recording of the base branch yet" in runner.summary()
    assert runner.asked() == ""
    kept = runner.folder / ".idle-gate"
    assert {path.name for path in kept.iterdir()} == {
        "base-loop_async.json.gz",
        "history.jsonl",
    }

    worse = runner.run(BAD, "c1", GATE_PULL_REQUEST="7")
    assert worse.returncode == 1
    assert runner.outputs() == {
        "holds": "false", "kept": "false", "report": str(runner.folder / "idle-gate-decode"),
    }  # fmt: skip
    report = (runner.folder / "idle-gate-decode" / "report.md").read_text()
    assert report.startswith("<!-- idle-gate: decode -->")
    assert "B takes" in report
    assert "**A limit is broken.**" in report
    assert runner.summary() == report
    assert "--method POST repos/a/b/issues/7/comments" in runner.asked()
    assert (
        len((kept / "history.jsonl").read_text().splitlines()) == 1
    )  # of the branch alone

    (same,) = [runner.run(GOOD, "c2", GATE_PULL_REQUEST="8")]
    assert same.returncode == 0, same.stdout + same.stderr
    assert runner.outputs()["holds"] == "true"


def test_the_comment_of_before_is_written_anew(content):
    content.earlier.write_text("4711\n")
    content.run(GOOD, "c0", GATE_PULL_REQUEST="7")
    assert "--method PATCH repos/a/b/issues/comments/4711" in content.asked()
    assert "POST" not in content.asked()


def test_no_comment_where_none_is_wanted(content):
    done = content.run(GOOD, "c0", GATE_PULL_REQUEST="7", GATE_COMMENT="false")
    assert done.returncode == 0, done.stderr
    assert content.outputs()["holds"] == "true"
    assert content.asked() == ""


def test_a_recording_that_cannot_be_read_is_said_and_not_kept(runner, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("no trace; $(touch pwned) `touch pwned`")
    result = runner.run(broken, "c0")
    assert result.returncode == 2
    assert runner.outputs()["kept"] == "false"
    assert "The recording cannot be checked." in runner.summary()
    assert not (tmp_path / "pwned").exists()


def test_a_folder_that_is_not_ours_is_left_alone(runner):
    precious = runner.folder / "idle-gate-decode"
    precious.mkdir()
    (precious / "thesis.txt").write_text("x")
    assert runner.run(GOOD, "c0").returncode == 2
    assert (precious / "thesis.txt").exists()


def test_names_of_branches_and_files_are_data_not_script():
    text = (ACTION / "action.yml").read_text()
    for run in re.findall(r"run: (.*)", text):
        assert "${{" not in run
    script = (ACTION / "gate.sh").read_text()
    assert "${{" not in script
    assert "eval" not in script


def test_the_actions_inputs_are_those_of_its_readme():
    yaml = pytest.importorskip("yaml")
    action = yaml.safe_load((ACTION / "action.yml").read_text())
    readme = (ACTION / "README.md").read_text()
    for name in action["inputs"]:
        assert f"`{name}`" in readme or name == "token", name
    used = json.dumps(action["runs"])
    assert all(f"inputs.{name}" in used for name in action["inputs"])
