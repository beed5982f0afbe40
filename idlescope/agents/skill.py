"""The skill: how an agent works on a trace, as a file that agents' hosts load."""

from __future__ import annotations

from pathlib import Path

SKILL = Path(__file__).with_name("SKILL.md")


def skill_text() -> str:
    """Return the skill, Markdown with a header of name and description."""
    return SKILL.read_text("utf-8")
