"""Communication of a device: the time of kernels that move or reduce data between devices."""

from __future__ import annotations

from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.idle.occupancy import Occupancy, is_compute
from idlescope.analysis.intervals import Intervals, percent
from idlescope.analysis.view import DeviceView


class Communication(Struct, frozen=True):
    """The times of `idlescope/analysis/README.md`, "Communication", in nanoseconds."""

    covered: Intervals  # the disjoint intervals in which communication runs
    computing: Intervals  # those in which another kernel, or a whole graph, runs
    communication_ns: int
    exposed_ns: int  # only communication runs, beside copies at most
    useful_compute_ns: int  # compute less exposed communication
    window_ns: int

    @property
    def exposed_pct(self) -> float:
        """Return exposed communication as a share of the window."""
        return percent(self.exposed_ns, self.window_ns)

    @property
    def useful_pct(self) -> float:
        """Return useful compute as a share of the window."""
        return percent(self.useful_compute_ns, self.window_ns)


def communication(view: DeviceView, occupancy: Occupancy) -> Communication:
    """Measure the communication of a device within the window of its occupancy.

    A graph that was recorded as one operation may communicate; its record does not tell, so all of
    it counts as computing.
    """
    low, high = occupancy.window
    operations = view.operations
    communicates = view.collective > 0
    calls = operations.take(communicates)
    covered = intervals.clip(intervals.union(calls.start, calls.end), low, high)
    others = operations.take(is_compute(operations) & ~communicates)
    computing = intervals.clip(intervals.union(others.start, others.end), low, high)
    return Communication(
        covered=covered,
        computing=computing,
        communication_ns=covered.measure,
        exposed_ns=occupancy.compute_ns - computing.measure,
        useful_compute_ns=computing.measure,
        window_ns=occupancy.window_ns,
    )
