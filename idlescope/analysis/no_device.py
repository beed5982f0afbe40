"""Why a trace has no device operations, as far as it tells, and what to do about it."""

from __future__ import annotations

import re

from idlescope.trace.distinct import distinct
from idlescope.trace.formats import how_to_record
from idlescope.trace.model import Trace
from idlescope.trace.names.calls import LAUNCH, matching, synchronising

# What CUPTI's errors mean (cupti_result.h): part of the error's name -> what to do.
CUPTI_ERRORS = {
    "MULTIPLE_SUBSCRIBERS": "another tool holds CUPTI (nsys, DCGM, a second profiler), which only "
    "one can have at a time: stop it",
    "INSUFFICIENT_PRIVILEGES": "profiling is for administrators only: load the driver with "
    "NVreg_RestrictProfilingToAdminUsers=0, or give the container CAP_SYS_ADMIN",
    "NOT_COMPATIBLE": "the driver is older than this CUPTI: update the driver, or take the CUDA "
    "version that it supports",
    "NOT_INITIALIZED": "CUPTI did not start: is the driver older than the CUDA of this PyTorch?",
}
# What keeps device records out where calls were recorded, and no error says which it was.
CUDA_REASONS = (
    "another tool holds CUPTI (nsys, DCGM, a second profiler), which only one can have at a time",
    "the driver is older than this CUPTI",
    "profiling is not permitted there (a container, a virtual GPU, administrators only)",
)
HIP_REASONS = (
    "another tool holds ROCm's profiler",
    "the ROCm of this PyTorch does not fit the driver's",
)
STOPPED_EARLY = "the profiler stopped before the work had run"

# Names of calls and operators that only one vendor's devices have.
OTHER_VENDORS = {
    "an Intel GPU": re.compile(r"^(ur|ze)[A-Z]\w+$"),
    "an Ascend NPU": re.compile(r"^(npu::|aclnn|AscendCL@)"),
    "a Gaudi accelerator": re.compile(r"^hpu::"),
    "a device of XLA": re.compile(r"^xla::"),
    "an Apple GPU": re.compile(r"^aten::_?mps"),
}


def no_device(trace: Trace) -> str:
    """Return what to say of a trace without device operations: one sentence with what to do."""
    path = trace.meta.path or "the trace"
    lost = f" ({'; '.join(trace.meta.warnings)})" if trace.meta.lost else ""
    launches = int(matching(LAUNCH, trace.names)[trace.calls.name].sum())
    vendor = _other_vendor(trace)
    if launches and not vendor:
        return (
            f"{path} holds no device operations{lost}, though {launches:,} calls put work on a "
            f"device: {_why_no_records(trace)}"
        )
    start = f"{path} holds no device operations, only host events{lost}"
    if error := _cupti_error(trace):
        return f"{start}: {error}"
    if vendor:
        return f"{start}, of a program for {vendor}: its operations were not recorded"
    return (
        f"{start}: record with {how_to_record(trace.meta.format)} on a GPU machine, and stop the "
        "profiler after the work has run"
    )


def _other_vendor(trace: Trace) -> str:
    """Return whose device the names of calls and operators are for; "" for CUDA's and HIP's."""
    found = (
        name
        for name, pattern in OTHER_VENDORS.items()
        if matching(pattern, trace.names).any()
    )
    return next(found, "")


def _why_no_records(trace: Trace) -> str:
    """Return why the profiler recorded calls and got no records from the device."""
    if error := _cupti_error(trace):
        return error
    is_hip = any(trace.names[name].startswith("hip") for name in distinct(trace.calls.name))
    reasons = list(HIP_REASONS if is_hip else CUDA_REASONS)
    if not _host_waited(trace):
        reasons.insert(0, STOPPED_EARLY)
    return (
        f"the profiler got no records, since {', '.join(reasons[:-1])}, or {reasons[-1]}; "
        "`idlescope doctor` on that machine tells more"
    )


def _host_waited(trace: Trace) -> bool:
    """Return whether the host waited for the device after work was launched: it ran then."""
    calls = trace.calls
    launch_ends = calls.end[matching(LAUNCH, trace.names)[calls.name]]
    wait_ends = calls.end[synchronising(trace.names)[calls.name]]
    return bool(launch_ends.min() < wait_ends.max(initial=launch_ends.min()))


def _cupti_error(trace: Trace) -> str:
    """Return the profiler's own message that it had no CUPTI, and what to do about it."""
    for message in trace.meta.profiler_errors:
        for error, what_to_do in CUPTI_ERRORS.items():
            if error in message:
                return f"the profiler says {message.strip()!r}: {what_to_do}"
    if trace.meta.profiler_errors:
        return f"the profiler says {trace.meta.profiler_errors[0].strip()!r}"
    return ""
