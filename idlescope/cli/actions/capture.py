"""What `idlescope capture` does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console

from idlescope.capture.server.address import ServerEngine
from idlescope.capture.server.capture import capture_together
from idlescope.capture.server.recording import Recording
from idlescope.cli.actions.analyze import Selection, analyze_command
from idlescope.cli.options import Output
from idlescope.cli.status import status_line
from idlescope.report import output_folder
from idlescope.report.text import visible


def capture_command(recordings: Sequence[Recording], output: Output) -> None:
    """Record, analyse what is new, print; exit code 130 where Ctrl-C ended it.

    The servers' profilers are stopped then, too. `recordings` differ in the address alone.
    """
    recording = recordings[0]
    console = Console(stderr=True)
    # the folder is there before anything is recorded
    claimed: AbstractContextManager[None] = nullcontext()
    if output.folder is not None:
        claimed = output_folder.claimed(output.folder, output.force, recording.traces)
    try:
        with claimed, status_line(console, "") as status:
            captured = capture_together(recordings, status.update)
    except KeyboardInterrupt as error:
        kept = f"what the server recorded is in {recording.traces}, not analysed"
        raise KeyboardInterrupt(str(error) or kept) from error
    for capture_note in captured.notes:
        print(f"idlescope: {visible(capture_note)}", file=sys.stderr)
    traces = captured.traces
    trace_path, only_paths = (
        (traces[0], None) if len(traces) == 1 else (recording.traces, traces)
    )
    analyze_command(
        trace_path, Selection(), output, only=only_paths, command=_words(recordings)
    )


def _words(recordings: Sequence[Recording]) -> list[str]:
    """Return the command that captures the same again."""
    recording = recordings[0]
    command_words = ["idlescope", "capture", *(one.url for one in recordings)]
    engine = ServerEngine(recording.engine).value
    command_words += ["--engine", engine, "--traces", str(recording.traces)]
    if recording.seconds is not None or recording.steps is None:
        command_words += ["--seconds", f"{recording.longest_s:g}"]
    for option, option_count in (
        ("--steps", recording.steps),
        ("--ranks", recording.ranks),
    ):
        if option_count is not None:
            command_words += [option, str(option_count)]
    flags_set = {"--stacks": recording.stacks, "--shapes": recording.shapes}
    return command_words + [flag_name for flag_name, is_set in flags_set.items() if is_set]
