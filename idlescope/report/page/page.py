"""The page of a run or of a trace."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.export.perfetto import excerpt
from idlescope.palette import CALL, CAUSE, WITHOUT_DEMAND
from idlescope.report.page import frame, timeline
from idlescope.report.page.content import Page
from idlescope.report.page.section import Material, Section
from idlescope.report.page.sections.order import OF_TRACE


def write(page: Page, path: Path, sections: Sequence[Section[Material]] = OF_TRACE) -> None:
    """Render the page into a file."""
    packed = timeline.pack(page.lines, page.group) if page.lines else None
    scripted = None
    if packed is not None:
        # the script reads the timeline's document, and what its colours mean
        causes = {colour: cause for cause, colour in CAUSE.items()}
        meanings = {"causes": {**causes, WITHOUT_DEMAND: NO_DEMAND}}
        document = packed.document | meanings | {"blocking": CALL["blocking"]}
        scripted = frame.Scripted(document, packed.columns, _perfetto_excerpt(page))
    frame.write(path, page.head, sections, Material(page, packed), scripted)


def _perfetto_excerpt(page: Page) -> str:
    """Return the trace around the worst gap of the line that idles most, as base64."""
    idlest_line = max(page.lines, key=lambda line: line.result.idle_pct)
    packed = excerpt.packed(idlest_line.trace, idlest_line.result)
    return base64.b64encode(packed.data).decode()
