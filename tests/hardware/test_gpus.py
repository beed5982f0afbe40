"""A GPU is known by the whole name of its board, in the same way for everyone."""

import numpy as np
import pytest

from idlescope.errors import ConfigError
from idlescope.hardware.gpus import GPUS, called, gpu, ideal_ns


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA H200", "h200"), ("NVIDIA H200 NVL", "h200-nvl"),
        ("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA H100 PCIe", "h100-pcie"), ("NVIDIA H100 NVL", "h100-nvl"),
        ("NVIDIA A100-SXM4-80GB", "a100"), ("NVIDIA A100 80GB PCIe", "a100-pcie"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"), ("NVIDIA A100-PCIE-40GB", "a100-40gb"), ("A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA B200", "b200"), ("NVIDIA L40S", "l40s"), ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("GeForce RTX 4090", "rtx4090"), ("modelled NVIDIA H100 SXM", "h100"),
    ],
)  # fmt: skip
def test_a_board_is_known_by_its_drivers_name(name, key):
    assert called(name) is gpu(key)


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA GH200 480GB",
        "NVIDIA H20",
        "NVIDIA L40",
        "NVIDIA A100-SXM-64GB",
        "Tesla V100-SXM2-16GB",
        "",
    ],
)
def test_a_board_with_other_peaks_is_not_taken_for_one_with_almost_the_same_name(name):
    assert called(name) is None


@pytest.mark.parametrize("key", GPUS)
def test_a_gpu_is_known_by_every_name_it_has(key):
    one = gpu(key)
    assert gpu(key.upper()) is one
    for name in (one.name, f"modelled {one.name}", *one.boards):
        assert called(name) is one


def test_an_unknown_key_is_refused_with_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"no GPU is known as 'v100': choose one of h200, h100"
    ):
        gpu("v100")


def test_an_operation_needs_the_longer_of_its_memory_and_its_compute_time():
    needed = ideal_ns(np.array([4.8e9, 0.0]), np.array([0.0, 989.4e9]), gpu("h200"))
    assert needed == pytest.approx([1e6, 1e6])
