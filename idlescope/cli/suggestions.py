"""What completion offers as the value of an option. Nothing heavy is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Suggest = Callable[[str], list[str]]  # what is typed so far -> what may stand there


def one_of(choices: Iterable[str]) -> Suggest:
    """Return what offers the choices that begin with what is typed."""
    known = list(choices)

    def offered(incomplete: str) -> list[str]:
        return [choice for choice in known if choice.startswith(incomplete)]

    return offered


# The names are spelled out, since the modules that know them import numpy and msgspec; a test
# holds them to those.
MODELS = ("tiny", "1b", "3b", "8b", "70b", "qwen3-0.6b", "qwen3-8b")
GPUS = (
    "h200",
    "h100",
    "a100",
    "b200",
    "l40s",
    "rtx4090",
    "h200-nvl",
    "h100-nvl",
    "h100-pcie",
    "a100-pcie",
    "a100-40gb",
)
DEVICES = ("auto", "cuda", "cpu", *(f"modelled:{gpu}" for gpu in GPUS))

models, gpus, devices = one_of(MODELS), one_of(GPUS), one_of(DEVICES)
modes = one_of(("sync", "async"))
OF_OPTION = {
    "model": models,
    "device": devices,
}  # of `run` and `sweep`, beside their choices
