"""What waits for the device is found, with its line.

Tensors without memory ("meta") stand in for a GPU's.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from idlescope.engine.devices.sync_check import SyncCheck
from idlescope.errors import EngineError


def watched(mode, action):
    check = SyncCheck(mode, lambda tensor: tensor.is_meta or tensor.dtype == torch.float64)
    check.start()
    try:
        action()
    finally:
        check.stop()
    return check.report()


THERE = torch.ones(
    3, dtype=torch.float64
)  # taken for a tensor on the device, where one with memory is needed
HERE = torch.ones(3)
WAITS = {
    "item": THERE[0].item,
    "truth": lambda: bool(THERE[0]),
    "nonzero": THERE.nonzero,
    "pageable copy to it": lambda: THERE.copy_(HERE, non_blocking=True),
    "pageable copy from it": lambda: HERE.copy_(THERE, non_blocking=True),
    "pageable .to()": lambda: HERE.to("meta", non_blocking=True),
    "a blocking copy": lambda: THERE.copy_(HERE),
}
DOES_NOT = {
    "arithmetic": lambda: THERE * 2 + 1,
    "a copy on the device": lambda: THERE.copy_(THERE.clone()),
    "a copy on the host": lambda: HERE.copy_(HERE.clone()),
    "item of a host tensor": HERE[0].item,
    "a dtype": lambda: HERE.to(torch.int32),
}


@pytest.mark.parametrize("what", WAITS)
def test_what_waits_is_found_with_its_line(what):
    with pytest.raises(
        EngineError, match=r"hidden synchronisation: .+ at .*test_sync_check\.py:\d+"
    ):
        watched("error", WAITS[what])
    (said,) = watched("warn", WAITS[what])
    assert said.startswith("hidden synchronisation: ")
    assert said.endswith(", 1 times")
    assert "test_sync_check.py" in said


@pytest.mark.parametrize("what", DOES_NOT)
def test_what_does_not_wait_is_left_alone(what):
    assert watched("error", DOES_NOT[what]) == ()


def test_off_is_off():
    assert watched("off", THERE[0].item) == ()
    assert watched("warn", lambda: None) == ()
    THERE[0].item()  # and it has ended
