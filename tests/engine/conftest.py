"""What the tests of the engine share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Torch computes on one thread: for work so small, all that others do is spin."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
