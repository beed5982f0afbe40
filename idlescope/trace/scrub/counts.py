"""What scrubbing removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Kept(NamedTuple):
    """Which names that people give stay in a copy, though they may tell something."""

    threads: bool = False
    instants: bool = False


NOTHING_KEPT = Kept()


@dataclass
class Scrubbed:
    """Counts of what was removed and of the names that stay, which only their author can judge."""

    removed: dict[str, int] = field(default_factory=dict)  # what, in the plural -> how many
    kept: Kept = NOTHING_KEPT
    names: int = (
        0  # distinct names of operations, calls, ranges and threads that are still there
    )

    def remove(self, what: str, count: int = 1) -> None:
        """Count what was left out or cut; `what` is a plural noun."""
        if count:
            self.removed[what] = self.removed.get(what, 0) + count

    def lines(self) -> list[str]:
        """Return the counts as lines to print."""
        removed = [f"removed {what}: {count:,}" for what, count in self.removed.items()]
        asked = [what for what, is_kept in self.kept._asdict().items() if is_kept]
        return [
            *(removed or ["nothing to remove"]),
            *(f"kept the names of {what}, as asked" for what in asked),
            f"kept {self.names:,} names of kernels, calls, ranges and threads: look through them",
        ]
