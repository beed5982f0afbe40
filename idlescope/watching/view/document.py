"""What `idlescope watch --json` prints (`idlescope schema watched`)."""

from __future__ import annotations

import msgspec

from idlescope.analysis.comparison.documents import CheckDocument
from idlescope.capture.server.exported import Exported
from idlescope.watching.state import WatchState
from idlescope.watching.view.figures import Figures

WATCHED_SCHEMA = 1


class WatchedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One process that was watched, or one server that was asked."""

    label: str
    url: str
    gone: str  # why nothing more is known of it; "" where it answers
    seconds: float  # that the figures are of
    figures: list[Figures]  # one for each watch of the process
    state: WatchState | None  # the last one; None: it has no watch
    exported: Exported | None  # what a server without a watch says itself

    def subject(self, figures: Figures) -> str:
        """Return what figures of it are of: the process, and the device where one is timed."""
        device = f", device {figures.device}" if figures.device >= 0 else ""
        return f"{self.label}{device}"


class WatchedDocuments(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of `watch --json`."""

    holds: bool | None  # whether all limits hold; None: none was given
    watched: list[WatchedDocument]
    checks: list[CheckDocument]
    notes: list[str]
    schema: int = WATCHED_SCHEMA
