"""Between which bounds idle lies, where records are missing or cannot be right."""

from __future__ import annotations

from msgspec import Struct

from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.intervals import percent
from idlescope.analysis.verdict.corruption import Corruption, without_ns
from idlescope.analysis.verdict.unrecorded import Unrecorded
from idlescope.analysis.view import DeviceView

SHOWN_PCT = 0.01  # of the window: bounds that are closer are one figure


class IdleBounds(Struct, frozen=True):
    """The least and the most idle time that a device's records allow."""

    low_ns: int  # if all work ran that was launched and not recorded
    high_ns: int  # if what cannot have lasted so long had not run at all
    window_ns: int
    because: tuple[str, ...]  # sentences; empty where the bounds are the figure itself

    @property
    def low_pct(self) -> float:
        """Return the least idle, of the window."""
        return percent(self.low_ns, self.window_ns)

    @property
    def high_pct(self) -> float:
        """Return the most idle, of the window."""
        return percent(self.high_ns, self.window_ns)

    @property
    def apart(self) -> bool:
        """Return whether the bounds differ by more than what is shown."""
        return self.high_pct - self.low_pct >= SHOWN_PCT

    def crosses(self, limit_pct: float) -> bool:
        """Return whether idle can be on either side of a limit."""
        return self.apart and self.low_pct < limit_pct <= self.high_pct

    @property
    def text(self) -> str:
        """Return idle in per cent of the window: one figure, or between which two."""
        if not self.apart:
            return f"{self.high_pct:.2f} %"
        return f"between {self.low_pct:.2f} and {self.high_pct:.2f} %"

    @property
    def reasons(self) -> str:
        """Return why there are bounds, to be put behind other sentences; empty where none are."""
        return "".join(f" {sentence}" for sentence in self.because) if self.apart else ""


def idle_bounds(
    view: DeviceView, occupancy: Occupancy, missing: Unrecorded, corruption: Corruption
) -> IdleBounds:
    """Return between which bounds the idle time of a window lies."""
    high_ns = occupancy.idle_ns
    if corruption.rows.size:
        high_ns = without_ns(view.operations, corruption.rows, occupancy)
    return IdleBounds(
        low_ns=occupancy.idle_ns - missing.idle.measure,
        high_ns=high_ns,
        window_ns=occupancy.window_ns,
        because=tuple(sentence for sentence in _because(missing, corruption) if sentence),
    )


def _because(missing: Unrecorded, corruption: Corruption) -> tuple[str, ...]:
    lost = replays = single = late = ""
    if missing.launches:
        lost = f"{missing.launches:,} launches have no record of what they ran."
    if missing.replays:
        replays = f"{missing.replays:,} graph replays have fewer operations than others."
    if missing.single_replays:
        single = (
            "A graph was replayed once, and has gaps in which operations may be missing: "
            "no other replay tells how many it has."
        )
    if missing.late_replays:
        late = (
            f"{missing.late_replays:,} graph replays seem to begin long after they were launched, "
            "on a device with nothing to do: most likely the first of their kernels were not "
            "recorded."
        )
    return lost, replays, single, late, corruption.text
