"""What calls and hand-overs cost, measured, each with its source."""

from __future__ import annotations

from dataclasses import dataclass, replace

# From the end of a step to the start of the next one, already queued: median of 24 pairs of graphs
# in the H200 trace of transformers' asynchronous loop recorded for this project (2026-11-23). A
# synchronous trace has no such pair.
SUCCESSION_NS = 4_560

# What the host takes to replay a CUDA graph of 1,500 nodes on an H200 (tests/gpu/latencies.py).
GRAPH_LAUNCH_NS = 6_700

# What torch.profiler adds to the host work of a step, by what it records there. Fitted to six pairs
# of servers recorded and not (vLLM 0.24.0 and SGLang 0.5.13 on H200s, 2026-11-29;
# reports/accuracy.md has the pairs): with these the steps replayed without the records are within
# 4 % of the unrecorded ones where the host matters.
PROFILED_RECORD_NS = 3_800  # of an operator, an annotation or a call of the runtime
PROFILED_FRAME_NS = 1_050  # of a Python frame, with_stack
# A launch of a CUDA graph of 420 kernels took 0.4 to 0.8 ms while torch.profiler recorded, and 0.1
# to 0.2 with a watch by CUPTI. Without either: 13 to 26 µs, medians of 54 loads of bare vLLM and
# SGLang servers of 1B and 8B on an H200 (tests/gpu/engines.py; reports/engines, the ninth run).
UNPROFILED_GRAPH_LAUNCH_NS = 20_000
# What a watch by CUPTI adds to the call of a kernel or a copy besides graphs; in processes whose
# host is in its slow mode 2.2 and 1.6 µs (tests/gpu/api_calls.py; reports/engines, the eighth run).
CUPTI_KERNEL_NS = 1_200
CUPTI_COPY_NS = 500

THIS_HOST = "measured-here"
SERVER_HOST = "h200-server"


@dataclass(frozen=True)
class Cost:
    """Host time of a part of a step: a fixed part, and what each row of the batch adds."""

    fixed_ns: float
    per_row_ns: float = 0.0

    def of(self, rows: int) -> int:
        """Return the cost of a step of so many rows, in ns."""
        return round(self.fixed_ns + rows * self.per_row_ns)


@dataclass(frozen=True)
class HostWork:
    """What the engine's own phases cost, calls to the driver apart."""

    schedule: Cost
    prepare: Cost
    update: Cost


@dataclass(frozen=True)
class HostProfile:
    """What a step costs the host of a modelled GPU. Times in ns.

    A start is counted from the return of the call that launches it, on an idle device: it is below
    0 where the device begins before the call has returned.
    """

    key: str  # what users call it: --host-profile
    copy_in_call_ns: int
    copy_in_start_ns: int
    copy_in_ns: int  # of a small copy, as events around it see it
    graph_call_ns: int
    graph_start_ns: int
    copy_out_call_ns: int
    event_call_ns: int  # recording an event, or making a stream wait for one
    wake_ns: int  # from the end of a copy out to the return of the blocking wait for it
    work: HostWork | None  # None: the real work is timed on the machine that runs idlescope

    @property
    def calls_ns(self) -> int:
        """Return the cost of a step's calls: two copies, a graph, three records and two waits."""
        copies = self.copy_in_call_ns + self.copy_out_call_ns
        return copies + self.graph_call_ns + 5 * self.event_call_ns

    def scaled_to(self, host_ns: int) -> HostProfile:
        """Return the profile with cheaper calls, where they cost more than a whole step may."""
        host_share = min(1.0, host_ns / self.calls_ns)
        return replace(
            self,
            copy_in_call_ns=int(self.copy_in_call_ns * host_share),
            graph_call_ns=int(self.graph_call_ns * host_share),
            copy_out_call_ns=int(self.copy_out_call_ns * host_share),
            event_call_ns=int(self.event_call_ns * host_share),
        )


# The engine's own work is timed on the machine that runs idlescope. Calls and the wake-up are those
# of an NVIDIA H200 on bare calls (tests/gpu/latencies.py, torch 2.11.0+cu130, 2026-11-24): medians,
# no profiler attached, one call repeated, so that caches are warm. The starts are from the H200
# traces of transformers' loop recorded for this project (2026-11-23): fastest percent of 480
# launches. A small copy takes 2.5 us (intercept of copies of 32 to 230 kB, same traces).
_MEASURED_HERE = HostProfile(
    key=THIS_HOST,
    copy_in_call_ns=14_200,  # Tensor.copy_(non_blocking=True) of pinned memory on a stream
    copy_in_start_ns=1_500,
    copy_in_ns=2_500,
    graph_call_ns=GRAPH_LAUNCH_NS,
    graph_start_ns=1_500,
    copy_out_call_ns=14_200,
    event_call_ns=840,  # Event.record; Stream.wait_event takes 870
    wake_ns=15_000,  # beyond a spinning wait, short waits
    work=None,
)

# The host of an NVIDIA H200 SXM that ran this engine: a virtual machine of 16 cores (Firecracker,
# driver 580.159.04, Python 3.12.3, torch 2.11.0+cu130), 2026-11-24, step clock on, no profiler
# (reports/h200). Means of the 8,190 steady steps of reports/h200/published/sync.recording, times
# 0.905; that number and the cost of a row (1,300 ns in all) are fitted to 10 of the 16
# configurations of reports/h200/sweep (tests/gpu/fit_host.py). Calls are in a loop that does other
# things between them, events beside them included: hence longer than bare ones. A copy in is seen
# from the event before its call to the event after it. The update has the recording of the step and
# the loop between two steps in it.
_H200_SERVER = HostProfile(
    key=SERVER_HOST,
    copy_in_call_ns=146_000,
    copy_in_start_ns=-82_000,
    copy_in_ns=77_000,
    graph_call_ns=58_500,
    graph_start_ns=-21_300,
    copy_out_call_ns=59_600,
    event_call_ns=2_000,
    wake_ns=277_000,
    work=HostWork(
        schedule=Cost(41_700, 272),
        prepare=Cost(50_100, 327),
        update=Cost(107_500, 701),
    ),
)
HOST_PROFILES = {profile.key: profile for profile in (_H200_SERVER, _MEASURED_HERE)}
DEFAULT_HOST_PROFILE = SERVER_HOST


def host_profile(key: str) -> HostProfile:
    """Return the host profile of that key, which is one of HOST_PROFILES."""
    return HOST_PROFILES[key]
