"""Which sections the pages of runs and traces have, top to bottom.

A new section is a file here and a line below.
"""

from __future__ import annotations

from dataclasses import replace

from idlescope.report.page.section import Material, Section
from idlescope.report.page.sections import (
    causes,
    coverage,
    curve,
    definitions,
    figures,
    files,
    gap_lengths,
    kinds,
    longest_gaps,
    over_time,
    prediction,
    ranks,
    reproduce,
    roofline,
    steps,
    timeline,
    warnings,
)

_FOLDED: tuple[Section[Material], ...] = (
    figures.SECTION,
    kinds.SECTION,
    gap_lengths.SECTION,
    longest_gaps.SECTION,
    steps.SECTION,
    over_time.SECTION,
    prediction.SECTION,
    roofline.SECTION,
    coverage.SECTION,
    definitions.SECTION,
    reproduce.SECTION,
    files.SECTION,
)
# A run is asked what host work costs; a trace is asked what happened in it.
OF_RUN: tuple[Section[Material], ...] = (
    warnings.SECTION,
    curve.SECTION,
    timeline.SECTION,
    causes.SECTION,
    *_FOLDED,
)
# Where no device was seen, the host's figures are all there is.
OF_HOST: tuple[Section[Material], ...] = (
    warnings.SECTION,
    replace(figures.SECTION, title="The host", folded=False),
    definitions.SECTION,
    reproduce.SECTION,
    files.SECTION,
)
OF_TRACE: tuple[Section[Material], ...] = (
    warnings.SECTION,
    ranks.SECTION,
    timeline.SECTION,
    causes.SECTION,
    curve.SECTION,
    *_FOLDED,
)
