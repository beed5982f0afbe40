"""Which commit a recording is of: as CI says, else as the repository around says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

# GitHub, GitLab, Jenkins, Buildkite, CircleCI, Azure Pipelines
VARIABLES = (
    "GITHUB_SHA",
    "CI_COMMIT_SHA",
    "GIT_COMMIT",
    "BUILDKITE_COMMIT",
    "CIRCLE_SHA1",
    "BUILD_SOURCEVERSION",
)
UNKNOWN = "not told"
_HASH = re.compile(r"^[0-9a-f]{40,64}$")


def commit_here(
    environment: Mapping[str, str] = os.environ, folder: Path | None = None
) -> str:
    """Return the commit of CI's environment, else of the repository around a folder.

    `UNKNOWN` where there is neither. No other program is asked.
    """
    for variable in VARIABLES:
        if environment.get(variable):
            return environment[variable]
    start = (folder or Path.cwd()).resolve()
    for place in (start, *start.parents):
        if (place / ".git").exists():
            return _head(place / ".git") or UNKNOWN
    return UNKNOWN


def _head(git: Path) -> str | None:
    """Return the commit that a repository is at; None where its files do not say."""
    try:
        if git.is_file():  # of a worktree
            git = (
                git.parent / git.read_text("utf-8").removeprefix("gitdir:").strip()
            ).resolve()
        head = (git / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref:"):
            return head if _HASH.match(head) else None
        name = head.removeprefix("ref:").strip()
        common = git / "commondir"
        shared = (
            (git / common.read_text("utf-8").strip()).resolve() if common.exists() else git
        )
        loose = shared / name
        if loose.is_file():
            return loose.read_text("utf-8").strip()
        packed = (shared / "packed-refs").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    rows = (row.split(" ", 1) for row in packed if " " in row)
    return next((commit for commit, ref in rows if ref == name), None)
