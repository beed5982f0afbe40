"""An analysis as JSON text, which need not be there as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from idlescope.analysis.document import step_parts
from idlescope.analysis.result import Analysis
from idlescope.report.text import in_pieces


def pieces(analysis: Analysis) -> Iterator[str]:
    """Return the text of `analyze --json` in pieces: that of a million steps is 400 MB."""
    document = msgspec.to_builtins(analysis.document_without_steps())
    return in_pieces(document, "steps", step_parts(analysis.results))
