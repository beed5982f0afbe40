"""Which sections the page has, top to bottom. A new section is a file here and a line below."""

from __future__ import annotations

from idlescope.report.page.section import Section
from idlescope.report.page.sections import (
    causes,
    coverage,
    definitions,
    figures,
    files,
    longest_gaps,
    prediction,
    reproduce,
    roofline,
    steps,
    timeline,
    warnings,
)

SECTIONS: tuple[Section, ...] = (
    warnings.SECTION,
    figures.SECTION,
    timeline.SECTION,
    causes.SECTION,
    longest_gaps.SECTION,
    steps.SECTION,
    prediction.SECTION,
    roofline.SECTION,
    coverage.SECTION,
    definitions.SECTION,
    reproduce.SECTION,
    files.SECTION,
)
