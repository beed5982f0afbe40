"""The checks of the GPU: its driver, CUDA as torch sees it, who may read its counters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from idlescope.doctor.findings import Answer, missing, ok, problem, unknown
from idlescope.doctor.machine import last_line
from idlescope.doctor.signs import COMMAND_S, Signs
from idlescope.doctor.versions import numbers

DRIVER_PARAMETERS = "/proc/driver/nvidia/params"

# Linux capabilities(7), bits of CapEff; the driver takes the second from R565 on:
# https://developer.nvidia.com/ERR_NVGPUCTRPERM
CAP_SYS_ADMIN = 21
CAP_PERFMON = 38
PERFMON_DRIVER = (565,)


def driver(signs: Signs) -> Answer:
    """Look for a driver that answers."""
    if not signs.driver:
        advice = "use --device modelled or cpu, or analyze traces of other machines"
        return missing("no NVIDIA driver", advice)
    if signs.driver_version is not None:
        return ok(f"NVIDIA {signs.driver_version}")
    if signs.nvidia_smi is not None and signs.nvidia_smi.status is None:
        statement = f"nvidia-smi did not answer in {COMMAND_S:.0f} s"
        return problem(statement, "look at dmesg for Xid errors; reboot")
    statement = f"nvidia-smi fails: {last_line(signs.nvidia_smi)}"
    return problem(statement, "load the driver (modprobe nvidia), or install it again")


def cuda(signs: Signs) -> Answer:
    """Look for CUDA devices that torch sees."""
    if not signs.driver:
        return missing("no driver, so no CUDA device", "use --device modelled or cpu")
    if signs.torch_cuda is None:
        return unknown(f"torch does not tell{_seen_by_nvidia_smi(signs)}", "see torch")
    if signs.torch_cuda.devices:
        devices = [
            f"{device_name}, {memory_bytes / 2**30:.0f} GiB"
            for device_name, memory_bytes in signs.torch_cuda.devices
        ]
        return ok(counted(devices))
    visible = signs.machine.environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        statement = f"torch sees no device and CUDA_VISIBLE_DEVICES is {visible!r}"
        return problem(statement, "unset CUDA_VISIBLE_DEVICES")
    if signs.torch_cuda.build is None:
        return problem("this torch sees no device", "see torch")
    advice = (
        "the driver may be older than torch's CUDA, or the container have no GPU "
        "(docker run --gpus all)"
    )
    return problem("torch sees no device", advice)


def _seen_by_nvidia_smi(signs: Signs) -> str:
    if not signs.nvidia_smi_lines:
        return ""
    devices = [
        device_line.partition(",")[2].strip() for device_line in signs.nvidia_smi_lines
    ]
    return f"; nvidia-smi lists {counted(devices)}"


def permissions(signs: Signs) -> Answer:
    """Look whether this process may read performance counters."""
    if not signs.driver:
        return missing("no driver, so nothing to permit")
    # The kernel module's option is NVreg_RestrictProfilingToAdminUsers; the driver lists it by its
    # second name.
    parameters = signs.machine.read(DRIVER_PARAMETERS) or ""
    parameter_name = r"(?:RmProfilingAdminOnly|RestrictProfilingToAdminUsers)"
    setting = re.search(rf"{parameter_name}:\s*(\d+)", parameters)
    if setting is None:
        statement = f"{DRIVER_PARAMETERS} does not say who may read counters"
        return unknown(statement, "try `ncu --query-metrics`")
    if setting[1] == "0":
        return ok("every user may read performance counters")
    if _privileged(signs):
        return ok("performance counters are for administrators, and this process is one")
    statement = (
        "performance counters are refused with ERR_NVGPUCTRPERM: that stops Nsight Compute and "
        "nsys's GPU metrics, not the kernel timelines that idlescope reads"
    )
    advice = (
        "if you need counters: as root, `options nvidia NVreg_RestrictProfilingToAdminUsers=0` in "
        "/etc/modprobe.d and reboot; or start the tool with sudo, a container with "
        "--cap-add=SYS_ADMIN"
    )
    return problem(statement, advice)


def _privileged(signs: Signs) -> bool:
    """Return whether the driver takes this process for an administrator's.

    Root in a container need not be one.
    """
    status = signs.machine.read("/proc/self/status") or ""
    effective = re.search(r"^CapEff:\s*([0-9a-fA-F]+)", status, re.MULTILINE)
    if effective is None:
        return signs.machine.user() == 0
    capabilities = int(effective[1], 16)
    if capabilities >> CAP_SYS_ADMIN & 1:
        return True
    takes_perfmon = numbers(signs.driver_version or "") >= PERFMON_DRIVER
    return takes_perfmon and bool(capabilities >> CAP_PERFMON & 1)


def counted(names: Sequence[str]) -> str:
    """Return names with how often each comes, in order: "2 × NVIDIA L4"."""
    return "; ".join(
        f"{names.count(device_name)} × {device_name}"
        for device_name in dict.fromkeys(names)
    )
