"""`idlescope analyze`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from idlescope.analysis.analyze import analyze
from idlescope.analysis.result import Analysis
from idlescope.analysis.steps.window import FIRST_LAST, length_ns
from idlescope.cli.status import counting
from idlescope.errors import ConfigError
from idlescope.hardware.gpus import gpu
from idlescope.models.presets import model
from idlescope.trace.names import user_file
from idlescope.trace.open import open_trace


@dataclass(frozen=True)
class Choices:
    """What of a trace is looked at, as on the command line."""

    window: str = FIRST_LAST
    device: tuple[int, ...] = ()
    process: str | None = None
    min_gap: str | None = None
    phases: Path | None = None
    frames: bool = True
    steps: bool = False  # list every step on the terminal
    model: str | None = None
    batch_size: int | None = None
    context: int | None = None
    gpu: str | None = None

    def words(self) -> list[str]:
        """Return the options that are not the default, to be repeated."""
        words = [] if self.window == FIRST_LAST else ["--window", self.window]
        words += [word for index in self.device for word in ("--device", str(index))]
        options = {
            "--process": self.process, "--min-gap": self.min_gap, "--phases": self.phases, "--model": self.model,
            "--batch-size": self.batch_size, "--context": self.context, "--gpu": self.gpu,
        }  # fmt: skip
        for option, value in options.items():
            words += [] if value is None else [option, str(value)]
        return words if self.frames else [*words, "--no-frames"]


def analyze_command(
    path: Path, choices: Choices, out: Path | None, force: bool, as_json: bool,
    only: Sequence[Path] | None = None, command: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Read, analyse, print; write the report where a folder is given.

    Of a folder of ranks, `only` these files where they are given. `command` is the one to repeat,
    `analyze` unless given.
    """
    console = Console(stderr=as_json)
    min_gap_ns = 0 if choices.min_gap is None else length_ns(choices.min_gap)
    engines = None if choices.phases is None else user_file.load(choices.phases)
    if choices.model is None and (choices.batch_size is not None or choices.context is not None):
        raise ConfigError(
            "--batch-size and --context are for the roofline of a model: give --model, too"
        )
    architecture = None if choices.model is None else model(choices.model)
    peak = None if choices.gpu is None else gpu(choices.gpu)
    with console.status("reading") as status:
        trace = open_trace(
            path, counting(status, "reading", "events"), frames=choices.frames, only=only
        )
        status.update("analysing")
        analysis = analyze(
            trace, window=choices.window, devices=choices.device or None, process=choices.process,
            min_gap_ns=min_gap_ns, phases=engines, model=architecture, batch_size=choices.batch_size,
            context=choices.context, gpu=peak,
        )  # fmt: skip
    paths: list[Path] = []
    if out is not None:
        from idlescope.report import output_folder, trace_report

        output_folder.claim(out, force, path)
        with console.status("writing the report"):
            words = command or [
                "idlescope",
                "analyze",
                str(path),
                *choices.words(),
                "--out",
                str(out),
            ]
            paths = trace_report.write_analysis(trace, analysis, out, shlex.join(words))
    if as_json:
        from idlescope.report.text import to_text

        sys.stdout.write(to_text(analysis.to_json()))
        return
    from idlescope.report.tables.terminal import plain

    _show(console, analysis, choices.steps)
    for written in paths:
        console.print(plain(f"  {written}"))


def _show(console: Console, analysis: Analysis, steps: bool) -> None:
    """Print an analysis, with every step of it where asked for."""
    from idlescope.report.tables import devices
    from idlescope.report.tables.gaps import gap_lines
    from idlescope.report.tables.host_phases import phase_table
    from idlescope.report.tables.terminal import plain
    from idlescope.report.work_line import device_label

    source = analysis.source
    spans = f", spans of {analysis.engine}" if analysis.engine else ""
    console.print(
        plain(f"{source['path']}: {source['format']}, {source['events']:,} events{spans}")
    )
    for table in devices.analysis_tables(analysis) if analysis.results else [phase_table(analysis)]:
        console.print(table)
    for device in analysis.results:
        label = device_label(device)
        if len(device.streams) > 1:
            console.print(devices.stream_table(device))
        if steps and len(device.steps):
            console.print(devices.step_table(device))
        if lines := gap_lines(device):
            console.print(plain(f"Longest gaps, {label}", "italic"))
            for line in lines:
                console.print(plain(line))
        console.print(plain(f"{label}: {device.verdict.text}", "bold"))
        for more in (device.prediction, device.roofline):
            if more is not None:
                console.print(plain(f"{label}: {more.text()}"))
    for warning in analysis.warnings:
        console.print(plain(warning, "yellow"))
