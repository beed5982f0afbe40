"""Which ranges are PyTorch's operators, where a profiler has them among all others."""

from __future__ import annotations

import re
from typing import NamedTuple

# PyTorch's emit_nvtx writes `aten::view, seq = 3, op_id = 314290, sizes = [[2, 3]]`, each part
# after the name only where it is known (torch/csrc/profiler/util.cpp, getNvtxStr): the ids would
# make every name a name of its own.
OPERATOR = re.compile(r", (?:seq|op_id) = -?\d+(?:,|$)")
OPERATOR_PREFIX = "aten::"


class RangeText(NamedTuple):
    """The text of a range without an operator's ids."""

    text: str
    is_operator: bool


def range_text(text: str) -> RangeText:
    """Return what a range is called, and whether it is an operator."""
    operator_ids = OPERATOR.search(text)
    if operator_ids:
        return RangeText(text[: operator_ids.start()], True)
    return RangeText(text, text.startswith(OPERATOR_PREFIX))
