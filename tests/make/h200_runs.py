"""The measured runs of reports/h200: 16 configurations in two modes, and that of 8,192 tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

REPORTS = Path(__file__).resolve().parents[2] / "reports" / "h200"


class MeasuredRun(NamedTuple):
    """One mode of a run on an H200."""

    model: str
    batch_size: int
    tokens: int  # new ones of each request, after `prompt_tokens`
    prompt_tokens: int
    mode: str
    idle_pct: float
    idle_ms_per_step: float
    total_s: float

    @property
    def name(self) -> str:
        """What a test calls it."""
        return f"{self.model}, batch {self.batch_size}, {self.tokens} tokens, {self.mode}"


def of_sweep() -> list[MeasuredRun]:
    """The runs of reports/h200/sweep that were measured, in the order of the grid."""
    sweep = json.loads((REPORTS / "sweep" / "sweep.json").read_text())
    options = sweep["options"]
    return [
        MeasuredRun(
            row["model"],
            row["batch_size"],
            options["tokens"],
            options["prompt_tokens"],
            row["mode"],
            row["idle_pct"],
            row["idle_ms_per_step"],
            row["total_s"],
        )
        for row in sweep["rows"]
        if row["measured"]
    ]


def published() -> list[MeasuredRun]:
    """The two modes of reports/h200/published."""
    summary = json.loads((REPORTS / "published" / "summary.json").read_text())
    config = summary["config"]
    return [
        MeasuredRun(
            config["model"],
            config["batch_size"],
            config["tokens"],
            config["prompt_tokens"],
            mode,
            100 - figures["active_pct"],
            figures["idle_ms_per_step"],
            figures["total_s"],
        )
        for mode, figures in summary["modes"].items()
    ]
