"""What the workflows and actions of GitHub run of others is pinned: a tag can be moved, a commit cannot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GITHUB = Path(__file__).resolve().parents[1] / ".github"
pytestmark = pytest.mark.skipif(not GITHUB.is_dir(), reason="an sdist is without .github")
FILES = sorted(GITHUB.glob("workflows/*.yml")) + sorted(GITHUB.glob("actions/*/action.yml"))
PINNED = re.compile(r"[\w-]+(/[\w-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_action_of_others_is_a_commit_with_its_version_beside_it(path):
    used = re.findall(r"^[ -]*uses: (.*)$", path.read_text("utf-8"), re.MULTILINE)
    assert used
    assert [one for one in used if not PINNED.fullmatch(one)] == []


def test_an_action_has_one_commit_everywhere():
    texts = "\n".join(path.read_text("utf-8") for path in FILES)
    commits: dict[str, set[str]] = {}
    for name, commit in re.findall(r"uses: ([\w-]+/[\w-]+)\S*@(\S+)", texts):
        commits.setdefault(name, set()).add(commit)
    assert {name: found for name, found in commits.items() if len(found) > 1} == {}
