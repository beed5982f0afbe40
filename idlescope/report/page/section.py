"""What a section of the page is: a title, a template fragment, and the data that fills it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idlescope.report.page.content import Page
from idlescope.report.page.pictures import Picture
from idlescope.report.page.timeline import PackedTimeline

FragmentData = Mapping[str, Any]  # what the fragment's variables stand for


@dataclass(frozen=True)
class Material:
    """What sections are made of: the page's content and what is worked out once for all of them."""

    page: Page
    pictures: Mapping[str, Picture | None]  # by the names of CAPTIONS
    timeline: PackedTimeline | None  # None where no device was seen


@dataclass(frozen=True)
class Section:
    """One section of the page."""

    title: str
    fragment: (
        str  # Jinja; has the macros of templates/macros.html.j2 and the variables of `fill`
    )
    fill: Callable[
        [Material], FragmentData | None
    ]  # None: the page is without this section


def fragment_beside(module_file: str) -> str:
    """Return the template that stands beside a section's module: NAME.html.j2 for NAME.py."""
    return Path(module_file).with_suffix(".html.j2").read_text("utf-8")
