"""`idlescope skill`."""

from __future__ import annotations


def skill() -> None:
    """Print SKILL.md: how an agent works on a trace. Save it where your agent looks for skills."""
    import sys

    from idlescope.agents.skill import skill_text

    sys.stdout.write(skill_text())
