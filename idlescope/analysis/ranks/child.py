"""Analyse files of ranks, one after the other, in a process of its own.

It reads a path a line from its input and writes what it found of each to its output (rank_file.py):
a copy of the process that asks, or run as a program with the options as JSON (`RankOptions`).
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import msgspec

from idlescope.analysis.analyze import analyze
from idlescope.analysis.document import host_entry
from idlescope.analysis.ranks.asked import RankOptions
from idlescope.analysis.ranks.layout import place
from idlescope.analysis.ranks.of_trace import rank_labels, rank_numbers
from idlescope.analysis.ranks.rank import summary
from idlescope.analysis.ranks.rank_file import RankFile, packed, packed_error
from idlescope.analysis.result import Analysis
from idlescope.children.freed_memory import keep_freed_memory
from idlescope.children.lifeline import lines_of_parent
from idlescope.errors import IdlescopeError
from idlescope.trace import remote
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace
from idlescope.trace.ranks_folder import Rank, labelled

# New objects from one collection of garbage to the next; Python's own is 700. What is made of a
# file stays until it has been sent.
GARBAGE_THRESHOLD = 100_000


def analyse(trace: Trace, options: RankOptions) -> Analysis:
    """Return the analysis of a rank's trace, as a folder of ranks is asked about."""
    return analyze(
        trace,
        window=options.window,
        min_gap_ns=options.min_gap_ns,
        phases=options.phases,
        step_ms=options.step_ms,
    )


def analyse_file(path: Path, options: RankOptions) -> RankFile:
    """Return what one file of a folder of ranks gives. Raises TraceError, ConfigError."""
    file = Path(remote.shown(path))
    trace = labelled(Rank.of(file, open_trace(path, frames=options.frames)))
    analysis = analyse(trace, options)
    document = analysis.document()
    gpus = [result.device for result in analysis.results]
    numbers, labels = rank_numbers(gpus), rank_labels(gpus)
    ranks = []
    for row, result in enumerate(analysis.results):
        said = place(numbers[row], file.name, trace.meta.distributed)
        ranks.append(summary(result, result.prediction, labels[row], said, row))
    return RankFile(
        file=file.name,
        format=trace.meta.format,
        events=int(analysis.source["events"]),
        engine=analysis.engine,
        epoch_ns=trace.meta.epoch_ns,
        distributed=trace.meta.distributed,
        warnings=list(analysis.warnings),
        gpus=gpus,
        devices=document.devices,
        steps=document.steps,
        phases=[host_entry(phases) for phases in analysis.host_phases],
        ranks=ranks,
    )


def answer(options: RankOptions) -> None:
    """Answer one path after the other until the parent ends, or ends this process."""
    keep_freed_memory()
    gc.set_threshold(GARBAGE_THRESHOLD)
    for line in lines_of_parent():
        path = Path(msgspec.json.decode(line))
        try:
            pieces = packed(analyse_file(path, options))
        except IdlescopeError as error:
            pieces = packed_error(str(error))
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    answer(msgspec.json.decode(sys.argv[1], type=RankOptions))
