"""`idlescope doctor` on machines that are not this one, and on this one."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from idlescope.doctor.checks import CHECKS, examine
from idlescope.doctor.findings import State
from idlescope.doctor.machine import Clock, Machine, Output
from idlescope.report.tables import findings

DRIVER = {
    "/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  "
    "580.65.06  Release Build\nGCC version:  gcc version 12.2.0 (GCC)\n",
    "/proc/driver/nvidia/params": "ResmanDebugLevel: 4294967295\nRmProfilingAdminOnly: 0\n",
}
RESTRICTED = {**DRIVER, "/proc/driver/nvidia/params": "RmProfilingAdminOnly: 1\n"}
OK, MISSING, PROBLEM, UNKNOWN = State
FOLDERS = ("/", "/tmp")  # noqa: S108
SMI, NSYS = "/usr/bin/nvidia-smi", "/usr/bin/nsys"
HUNG = Output(None, "")


def torch_says(build="13.0", devices=(("NVIDIA H100", 80 * 2**30),), hip=None):
    return Output(0, json.dumps({"build": build, "hip": hip, "devices": devices}) + "\n")


def nsys_is(version):
    return Output(0, f"NVIDIA Nsight Systems version {version}.113-245134619542v0\n")


class Fake(Machine):
    """A machine made of what it answers; the commands that were run are kept."""

    environment = {}  # noqa: RUF012

    def __init__(
        self,
        files=(),
        commands=(),
        versions=(),
        environment=(),
        free=10**11,
        folders=FOLDERS,
    ):
        self.files, self.commands, self.versions = (
            dict(files),
            dict(commands),
            dict(versions),
        )
        self.environment, self.free, self.folders, self.ran = (
            dict(environment),
            free,
            folders,
            [],
        )

    def read(self, path):
        return self.files.get(path)

    def which(self, command):
        return next((path for path in self.commands if path.endswith(f"/{command}")), None)

    def run(self, command, timeout_s):
        self.ran.append(command[0])
        return self.commands.get(command[0])

    def version(self, package):
        return self.versions.get(package)

    def clock(self):
        return Clock("clock_gettime(CLOCK_MONOTONIC)", True, 1e-9)

    def worker_cores(self):
        return (1, 2, 3)

    def user(self):
        return 1000

    def folder(self):
        return "/home/me"

    def writable(self, folder):
        return (
            self.folders.get(folder)
            if isinstance(self.folders, dict)
            else (True if folder in self.folders else None)
        )

    def free_bytes(self, folder):
        return self.free


def gpu_machine(files=DRIVER, torch=None, versions=(), nsys="2025.3.2", **more):
    commands = {sys.executable: torch or torch_says(), NSYS: nsys_is(nsys)}
    installed = {
        "torch": "2.11.0+cu130",
        "triton": "3.6.0",
        "nvtx": "0.2.17",
        **dict(versions),
    }
    return Fake(files, commands, installed, **more)


def found(machine):
    return {finding.name: finding for finding in examine(machine)}


def states(machine):
    return {finding.name: finding.state for finding in examine(machine)}


def test_a_bare_laptop_lacks_what_a_gpu_needs_and_has_no_problem():
    machine = Fake()
    assert list(states(machine)) == list(CHECKS)
    lacking = {"driver", "torch", "cuda", "triton", "nvtx", "nsys", "profiler permissions"}
    assert states(machine) == {name: MISSING if name in lacking else OK for name in CHECKS}
    assert machine.ran == []


def test_a_cuda_machine_in_order_is_ok_throughout():
    machine = gpu_machine()
    assert set(states(machine).values()) == {OK}
    told = found(machine)
    assert told["driver"].says == "NVIDIA 580.65.06"
    assert "13.0" in told["torch"].says
    assert told["cuda"].says == "1 × NVIDIA H100, 80 GiB"
    assert "every second" in told["clock"].says
    assert not any(finding.advice for finding in told.values())


def test_torch_is_not_imported_without_signs_of_a_driver():
    machine = gpu_machine(files={})
    assert found(machine)["torch"].state == OK
    assert sys.executable not in machine.ran


def test_another_torch_than_the_one_that_was_run_says_so():
    told = found(gpu_machine(versions={"torch": "2.13.0+cu130"}))["torch"]
    assert told.state == OK
    assert "2.11 only" in told.says
    assert "tests/gpu/engine.py" in told.advice


def test_a_cpu_build_of_torch_beside_a_driver_is_a_problem():
    told = found(gpu_machine(torch=torch_says(build=None, devices=())))
    assert (told["torch"].state, told["cuda"].state) == (PROBLEM, PROBLEM)
    assert "CUDA build" in told["torch"].advice


@pytest.mark.parametrize(
    "answer", [HUNG, Output(1, "", "Traceback\nImportError: libcudart.so.13: no such file")]
)
def test_a_torch_that_hangs_or_cannot_be_imported_takes_nothing_along(answer):
    told = found(gpu_machine(torch=answer))
    assert (told["torch"].state, told["cuda"].state) == (PROBLEM, UNKNOWN)
    assert "did not answer" in told["torch"].says or "libcudart" in told["torch"].says


def test_hidden_devices_are_named():
    machine = gpu_machine(
        torch=torch_says(devices=()), environment={"CUDA_VISIBLE_DEVICES": ""}
    )
    assert "CUDA_VISIBLE_DEVICES" in found(machine)["cuda"].advice


def test_nvidia_smi_tells_where_the_kernel_does_not():
    told = found(
        Fake(
            commands={
                SMI: Output(
                    0, "580.65.06, NVIDIA L4, 23034 MiB\n580.65.06, NVIDIA L4, 23034 MiB\n"
                )
            }
        )
    )
    assert told["driver"].says == "NVIDIA 580.65.06"
    assert (told["cuda"].state, "2 × NVIDIA L4, 23034 MiB" in told["cuda"].says) == (
        UNKNOWN,
        True,
    )


def test_a_hanging_nvidia_smi_is_a_problem_and_is_asked_once():
    machine = Fake(commands={SMI: HUNG})
    told = found(machine)["driver"]
    assert (told.state, "did not answer" in told.says) == (PROBLEM, True)
    assert machine.ran == [SMI]


def test_nvtx_0_2_12_is_silent():
    told = found(gpu_machine(versions={"nvtx": "0.2.12"}))["nvtx"]
    assert (told.state, told.advice) == (PROBLEM, "pip install 'nvtx!=0.2.12'")


@pytest.mark.parametrize(
    ("nvtx", "nsys", "state"),
    [
        ("0.2.17", "2023.4.1", PROBLEM),
        ("0.2.11", "2023.4.1", OK),
        ("0.2.17", "2024.5.1", OK),
    ],
)
def test_nvtx_that_an_older_nsys_does_not_see(nvtx, nsys, state):
    assert found(gpu_machine(versions={"nvtx": nvtx}, nsys=nsys))["nvtx"].state == state


def test_an_attached_tool_and_ranges_that_are_turned_off():
    tool = {"NVTX_INJECTION64_PATH": "/opt/libprobe.so"}
    assert "attached: /opt/libprobe.so" in found(gpu_machine(environment=tool))["nvtx"].says
    assert found(gpu_machine(environment={"NVTX_DISABLE": "1"}))["nvtx"].state == PROBLEM


def test_an_nsys_whose_exports_are_not_read():
    assert found(gpu_machine(nsys="2021.3.1"))["nsys"].state == PROBLEM


@pytest.mark.parametrize(
    ("capabilities", "state"),
    [
        ("0000000000000000", PROBLEM),
        ("00000000a80425fb", PROBLEM),
        ("000001ffffffffff", OK),
        ("0000004000000000", OK),
    ],
    ids=["user", "root in a container", "root", "CAP_PERFMON"],
)
def test_counters_are_for_administrators(capabilities, state):
    told = found(
        gpu_machine(
            {**RESTRICTED, "/proc/self/status": f"Name:\tx\nCapEff:\t{capabilities}\n"}
        )
    )
    permissions = told["profiler permissions"]
    assert permissions.state == state
    assert ("ERR_NVGPUCTRPERM" in permissions.says) == (state == PROBLEM)


def test_permissions_that_the_driver_does_not_tell():
    assert (
        found(gpu_machine({**DRIVER, "/proc/driver/nvidia/params": ""}))[
            "profiler permissions"
        ].state
        == UNKNOWN
    )


def test_a_full_disk():
    told = found(Fake(free=10**8))
    assert (told["disk: reports"].state, told["disk: temporary"].state) == (
        PROBLEM,
        PROBLEM,
    )
    assert told["disk: reports"].says == "0.1 GB free for /home/me/reports"


def test_folders_that_cannot_be_written():
    told = found(Fake(folders={"/": False, "/tmp": False}))  # noqa: S108
    assert (told["disk: reports"].state, told["disk: temporary"].state) == (
        PROBLEM,
        PROBLEM,
    )


def test_a_check_that_fails_is_a_finding():
    class Odd(Fake):
        def clock(self):
            raise ValueError("no clock")

    assert (found(Odd())["clock"].state, found(Odd())["clock"].says) == (
        UNKNOWN,
        "could not be told: ValueError: no clock",
    )


def test_names_of_the_machine_do_not_act_on_the_terminal():
    machine = gpu_machine(torch=torch_says(devices=[["H100\x1b[31m[red]", 2**30]]))
    console = Console(width=200, file=io.StringIO())
    console.print(findings.listed(examine(machine)))
    text = console.file.getvalue()
    assert "H100\ufffd[31m[red]" in text
    document = json.loads(findings.to_text(examine(machine)))
    assert document["findings"][3]["says"] == "1 × H100\ufffd[31m[red], 1 GiB"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_this_machine(options, tmp_path):
    command = [sys.executable, "-m", "idlescope", "doctor", *options]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "Python" in result.stdout
    if options:
        assert [
            finding["name"] for finding in json.loads(result.stdout)["findings"]
        ] == list(CHECKS)
    assert list(tmp_path.iterdir()) == []
