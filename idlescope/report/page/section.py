"""What a section of a page is: a title, a template fragment, and the data that fills it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from idlescope.report.page.content import Page
from idlescope.report.page.timeline import PackedTimeline

FragmentData = Mapping[str, Any]  # what the fragment's variables stand for
Content = TypeVar("Content")  # what the sections of a page are made of


@dataclass(frozen=True)
class Material:
    """What the sections of a run or trace are made of: its content, and its packed timeline."""

    page: Page
    timeline: PackedTimeline | None  # None where no device was seen


@dataclass(frozen=True)
class Section(Generic[Content]):
    """One section of a page."""

    title: str
    # Jinja; has the macros of templates/macros.html.j2 and the variables of `fill`
    fragment: str
    # None: the page is without this section. `hint` stands beside the title of a folded one.
    fill: Callable[[Content], FragmentData | None]
    folded: bool = False


def fragment_beside(module_file: str) -> str:
    """Return the template that stands beside a section's module: NAME.html.j2 for NAME.py."""
    return Path(module_file).with_suffix(".html.j2").read_text("utf-8")
