"""What a machine is asked: commands that hang are killed, what is not there is None."""

from __future__ import annotations

import time

from idlescope.doctor.machine import Machine, Output

HUNG = Output(None, "")


def test_a_command_that_hangs_is_killed_with_what_it_started():
    began = time.monotonic()
    assert Machine().run(["sh", "-c", "sleep 60; true"], 0.2) == HUNG
    assert time.monotonic() - began < 5


def test_a_command_that_is_not_there():
    assert Machine().run(["/nowhere/nvidia-smi"], 1.0) is None


def test_what_is_not_there_is_none():
    assert (Machine().read("/nowhere"), Machine().version("no-such-package-here")) == (
        None,
        None,
    )
