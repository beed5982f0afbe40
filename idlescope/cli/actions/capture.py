"""What `idlescope capture` does."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console

from idlescope.capture.server.capture import capture
from idlescope.capture.server.recording import Recording, ServerEngine
from idlescope.cli.actions.analyze import Selection, analyze_command
from idlescope.cli.options import Output
from idlescope.report import output_folder
from idlescope.report.text import visible


def capture_command(recording: Recording, output: Output) -> None:
    """Record, analyse what is new, print; exit code 130 where Ctrl-C ended it.

    The server's profiler is stopped then, too.
    """
    console = Console(stderr=True)
    # the folder is there before anything is recorded
    claimed: AbstractContextManager[None] = nullcontext()
    if output.folder is not None:
        claimed = output_folder.claimed(output.folder, output.force, recording.traces)
    try:
        with claimed, console.status("") as status:
            captured = capture(recording, status.update)
    except KeyboardInterrupt as error:
        where = visible(str(recording.traces))
        print(
            f"idlescope: interrupted; what the server recorded is in {where}, not analysed",
            file=sys.stderr,
        )
        raise SystemExit(130) from error
    for note in captured.notes:
        print(f"idlescope: {visible(note)}", file=sys.stderr)
    traces = captured.traces
    path, only = (traces[0], None) if len(traces) == 1 else (recording.traces, traces)
    analyze_command(path, Selection(), output, only=only, command=_words(recording))


def _words(recording: Recording) -> list[str]:
    """Return the command that captures the same again."""
    words = ["idlescope", "capture", recording.url]
    engine = ServerEngine(recording.engine).value
    words += ["--engine", engine, "--traces", str(recording.traces)]
    if recording.seconds is not None or recording.steps is None:
        words += ["--seconds", f"{recording.longest_s:g}"]
    for option, count in (("--steps", recording.steps), ("--ranks", recording.ranks)):
        if count is not None:
            words += [option, str(count)]
    flags = {"--stacks": recording.stacks, "--shapes": recording.shapes}
    return words + [flag for flag, is_set in flags.items() if is_set]
