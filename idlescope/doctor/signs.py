"""What several checks need to know of a machine, asked once at most."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import NamedTuple

from idlescope.children.start import command
from idlescope.doctor.machine import DRIVER, Machine, Output

COMMAND_S = (
    5.0  # for `nvidia-smi` and `nsys --version`: up to 2 s where the driver is asleep
)
TORCH_S = 60.0  # to import torch from a cold disk and wake several GPUs

# Run in a process of its own: a torch that is broken, or a driver that hangs, must not take the
# doctor along.
TORCH_PROBE = "idlescope.doctor.torch_probe"


class TorchCuda(NamedTuple):
    """What an installed torch knows of CUDA."""

    build: str | None  # the CUDA version that it was built for
    hip: str | None  # or the ROCm version
    devices: list[tuple[str, int]]  # name, and memory in bytes


class Nsys(NamedTuple):
    """An `nsys` on PATH."""

    path: str
    answer: Output | None  # to `--version`


class Signs:
    """What there is of driver, torch and nsys."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @cached_property
    def nvidia_smi(self) -> Output | None:
        """Return the answer of `nvidia-smi`: the driver's version, name and memory of each GPU."""
        tool_path = self.machine.which("nvidia-smi")
        if tool_path is None:
            return None
        query = "--query-gpu=driver_version,name,memory.total"
        return self.machine.run([tool_path, query, "--format=csv,noheader"], COMMAND_S)

    @cached_property
    def nvidia_smi_lines(self) -> list[str]:
        """Return the lines of that answer, one per GPU; none where it failed."""
        if self.nvidia_smi is None or self.nvidia_smi.status != 0:
            return []
        return self.nvidia_smi.text.splitlines()

    @cached_property
    def driver(self) -> bool:
        """Return whether there are signs of a driver."""
        return self.machine.has_driver()

    @cached_property
    def driver_version(self) -> str | None:
        """Return the driver's version; `nvidia-smi` is run only where the kernel does not say."""
        version_text = self.machine.read(DRIVER) or ""
        version_found = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", version_text)
        if version_found:
            return version_found[1]
        if not self.nvidia_smi_lines:
            return None
        return self.nvidia_smi_lines[0].split(",")[0].strip()

    @cached_property
    def torch_version(self) -> str | None:
        """Return the version of torch."""
        return self.machine.version("torch")

    @cached_property
    def torch_probe(self) -> Output | None:
        """Return what torch says when imported; None, unasked, without signs of a driver."""
        if not self.driver or self.torch_version is None:
            return None
        return self.machine.run(command(TORCH_PROBE), TORCH_S)

    @cached_property
    def torch_cuda(self) -> TorchCuda | None:
        """Return what torch knows of CUDA; None where it was not asked or did not answer."""
        if self.torch_probe is None or self.torch_probe.status != 0:
            return None
        return TorchCuda(**json.loads(self.torch_probe.text.splitlines()[-1]))

    @cached_property
    def nsys(self) -> Nsys | None:
        """Return where `nsys` is and what it answers."""
        tool_path = self.machine.which("nsys")
        if tool_path is None:
            return None
        return Nsys(tool_path, self.machine.run([tool_path, "--version"], COMMAND_S))

    @cached_property
    def nsys_version(self) -> str | None:
        """Return the version of `nsys`: 2024.5.1 of "… version 2024.5.1.113-245134619542v0"."""
        if self.nsys is None or self.nsys.answer is None:
            return None
        nsys_output = f"{self.nsys.answer.text}\n{self.nsys.answer.errors}"
        version_found = re.search(r"version (\d{4}(\.\d+){1,2})", nsys_output)
        return version_found[1] if version_found else None
