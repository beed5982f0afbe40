"""What `idlescope analyze` does."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from idlescope.cli.options import FIRST_LAST, Output
from idlescope.cli.status import counted_line, status_line
from idlescope.errors import ConfigError
from idlescope.trace import remote
from idlescope.trace.model import Trace
from idlescope.trace.open import matching, open_trace

if TYPE_CHECKING:
    from rich.console import Console

    from idlescope.analysis.document import Document
    from idlescope.analysis.ranks.asked import RankOptions
    from idlescope.analysis.ranks.group import Group
    from idlescope.analysis.ranks.ranks_analysis import RanksAnalysis
    from idlescope.analysis.result import Analysis, DeviceResult
    from idlescope.hardware.gpus import GPU
    from idlescope.models.architecture import Model
    from idlescope.trace.names.engines import Rules


@dataclass(frozen=True)
class Selection:
    """What of a trace is looked at, and how; each field is the option of that name."""

    mode: str | None = None
    window: str = FIRST_LAST
    device: tuple[int, ...] = ()
    process: str | None = None
    min_gap: str | None = None
    phases: Path | None = None
    frames: bool = True
    model: str | None = None
    batch_size: int | None = None
    context: int | None = None
    gpu: str | None = None
    step_ms: float | None = None
    rank: int | None = None
    cluster: str | None = None

    def words(self) -> list[str]:
        """Return the options that are not the default, to be repeated."""
        command_words = []
        for selection_field in fields(self):
            field_value = getattr(self, selection_field.name)
            if field_value == selection_field.default:
                continue
            option = f"--{selection_field.name.replace('_', '-')}"
            if field_value is False:
                command_words.append(option.replace("--", "--no-", 1))
            elif isinstance(field_value, tuple):
                command_words += [
                    command_word
                    for each_value in field_value
                    for command_word in (option, str(each_value))
                ]
            else:
                command_words += [option, str(field_value)]
        return command_words


class Meaning(NamedTuple):
    """What the texts of a Selection mean."""

    min_gap_ns: int
    phases: dict[str, Rules] | None  # of the user's engines, by name
    model: Model | None
    gpu: GPU | None


def analyze_command(
    path: Path,
    selection: Selection,
    output: Output,
    list_steps: bool = False,
    only: Sequence[Path] | None = None,
    command: Sequence[str] | None = None,
) -> None:
    """Read, analyse, print; write the report where a folder is given.

    Of a folder of ranks, `only` these files where they are given. `command` is the one to repeat,
    `analyze` unless given.
    """
    meaning = _meaning(selection)
    command_words = command or [
        "idlescope",
        "analyze",
        remote.shown(path),
        *selection.words(),
    ]
    folder_of_ranks = (path, selection, meaning, output, list_steps, only)
    if _side_by_side(*folder_of_ranks, command_words):
        return
    progress_console = output.progress_console()
    with counted_line(lambda: progress_console, "reading", "events") as counted:
        if remote.url_of(path) is not None:
            counted(0)  # before it is fetched, which is not counted
        opened_trace = open_trace(
            path,
            counted,
            frames=selection.frames,
            only=only,
            mode=selection.mode,
        )
    with status_line(progress_console, "analysing"):
        analysis = of_rank(_analyse(opened_trace, selection, meaning), selection.rank)
    written: list[Path] = []
    if output.folder is not None:
        written = _write_report(path, analysis, output, command_words)
    if output.as_json:
        from idlescope.report import analysis_json

        sys.stdout.writelines(analysis_json.pieces(analysis))
        return
    from idlescope.cli.next_command import show_next, show_written

    console = output.console()
    _show(console, analysis, list_steps, output.verbose)
    show_written(console, written)
    if written:
        _show_next(console, written[0].parent)
    elif analysis.results:
        _show_next(console, path, selection.mode)
    else:
        show_next(console, ["doctor"], "says what can be recorded on a machine")


def _side_by_side(
    path: Path,
    selection: Selection,
    meaning: Meaning,
    output: Output,
    list_steps: bool,
    only: Sequence[Path] | None,
    command: Sequence[str],
) -> bool:
    """Analyse a large folder of ranks by several processes, and print; return whether it was one.

    Of what needs their traces together (the details of one, a report that shows all) it is none.
    """
    reported = output.folder is not None
    in_cluster = selection.cluster is not None
    if _asks_for_details(selection, list_steps) or (reported and in_cluster):
        if in_cluster:
            raise ConfigError(
                "--cluster analyses the ranks of a folder: leave out what asks for the details of "
                "one, and --out"
            )
        return False
    sizes = _sizes(path, selection, only)
    if in_cluster and len(sizes) < 2:
        raise ConfigError(f"--cluster is for a folder of ranks: {path} is none")
    if len(sizes) < 2 or (reported and _shown_whole(path, len(sizes))):
        return False
    from idlescope.analysis.ranks import folder, side_by_side

    paths = [*sizes]
    known_sizes = {file: size for file, size in sizes.items() if size is not None}
    if not in_cluster and not side_by_side.is_worth_it(paths, known_sizes):
        return False
    options = _rank_options(selection, meaning)
    with counted_line(
        output.progress_console, "analysing", f"of {len(paths):,} ranks"
    ) as counted:
        found = folder.analyze_folder(
            path, paths, options, counted, selection.cluster, known_sizes
        )
    if found is None or (reported and _shown_whole(path, len(found.group.ranks))):
        return False
    written = []
    if reported:
        from idlescope.analysis.ranks.in_detail import in_detail

        details = in_detail(found, options)
        written = _write_report(path, details, output, command, found.document())
    _print_ranks(path, found, output, written)
    return True


def _asks_for_details(selection: Selection, list_steps: bool) -> bool:
    needs_traces = (selection.rank, selection.process, selection.model, selection.gpu)
    asked_for = any(option is not None for option in needs_traces)
    return asked_for or list_steps or bool(selection.device)


def _shown_whole(path: Path, ranks: int) -> bool:
    """Return whether a report shows all of some ranks, so that it needs all of their traces.

    A folder behind a URL is fetched as a whole, too.
    """
    from idlescope.analysis.ranks.in_detail import MOST_DETAILED

    return ranks <= MOST_DETAILED or remote.url_of(path) is not None


def _print_ranks(
    path: Path,
    found: RanksAnalysis,
    output: Output,
    written: Sequence[Path],
) -> None:
    """Print what was found of a folder of ranks, and what was written."""
    if output.as_json:
        from idlescope.report.text import to_text

        sys.stdout.write(to_text(found.to_json()))
        return
    from idlescope.cli.next_command import show_written

    console = output.console()
    _show_ranks(console, found)
    if written:
        show_written(console, written)
    else:
        console.print()
    _show_next(console, written[0].parent if written else path)


def _sizes(
    path: Path, selection: Selection, only: Sequence[Path] | None
) -> dict[Path, int | None]:
    """Return the files of ranks, with the sizes of those behind a URL."""
    if only is not None:
        return dict.fromkeys(only)
    if remote.url_of(path) is not None:
        return _remote_files(path, selection)
    return dict.fromkeys(_rank_files(path, selection))


def _remote_files(path: Path, selection: Selection) -> dict[Path, int | None]:
    """Return the files of a folder behind a URL, with their sizes; none for anything else."""
    url = remote.url_of(path)
    if url is None or selection.mode is not None:
        return {}
    from idlescope.trace.formats import suffixes

    return {Path(file.url): file.size for file in remote.files(url, suffixes())}


def _rank_files(path: Path, selection: Selection) -> list[Path]:
    """Return the files of a folder of ranks, or of a pattern; none for anything else."""
    if selection.mode is not None:
        return []
    if has_magic(str(path)) and not path.exists():
        return matching(path)
    if not path.is_dir():
        return []
    from idlescope.trace import ranks_folder, run_folder
    from idlescope.trace.formats import format_of

    if run_folder.recordings(path):
        return []
    return ranks_folder.files(path) if format_of(path) is None else []


def _rank_options(selection: Selection, meaning: Meaning) -> RankOptions:
    from idlescope.analysis.ranks.asked import RankOptions

    return RankOptions(
        window=selection.window,
        min_gap_ns=meaning.min_gap_ns,
        frames=selection.frames,
        phases=meaning.phases,
        step_ms=selection.step_ms,
    )


def _show_ranks(console: Console, found: RanksAnalysis) -> None:
    """Print a folder of ranks: a row each, what is said of all of them, and warnings."""
    from idlescope.report.tables.terminal import plain

    _show_group(console, found.group, detailed=False)
    for warning in found.warnings:
        console.print(plain(warning, "yellow"))
    console.print(plain(_source_text(found.source, found.engine), "dim"))


def _meaning(selection: Selection) -> Meaning:
    """Return what options mean, before anything is read.

    Raises ConfigError for those that cannot be.
    """
    of_model = selection.batch_size is not None or selection.context is not None
    if selection.model is None and of_model:
        raise ConfigError(
            "--batch-size and --context are for the roofline of a model: give --model, too"
        )
    return Meaning(
        model=_model(selection.model),
        min_gap_ns=_min_gap_ns(selection.min_gap),
        phases=_phases(selection.phases),
        gpu=_gpu(selection.gpu),
    )


def _min_gap_ns(length: str | None) -> int:
    if length is None:
        return 0
    from idlescope.analysis.steps.window import length_ns

    return length_ns(length, "--min-gap")


def _gpu(name: str | None) -> GPU | None:
    if name is None:
        return None
    from idlescope.hardware.gpus import gpu

    return gpu(name)


def _model(name: str | None) -> Model | None:
    if name is None:
        return None
    from idlescope.models.presets import model

    return model(name)


def _phases(path: Path | None) -> dict[str, Rules] | None:
    if path is None:
        return None
    from idlescope.trace.names import user_file

    return user_file.load(path)


def _analyse(trace: Trace, selection: Selection, meaning: Meaning) -> Analysis:
    # Not at the top: processes that analyse a folder's files start before this is imported.
    from idlescope.analysis.analyze import analyze

    return analyze(
        trace,
        window=selection.window,
        devices=selection.device or None,
        process=selection.process,
        min_gap_ns=meaning.min_gap_ns,
        phases=meaning.phases,
        model=meaning.model,
        batch_size=selection.batch_size,
        context=selection.context,
        gpu=meaning.gpu,
        step_ms=selection.step_ms,
    )


def _write_report(
    path: Path,
    analysis: Analysis,
    output: Output,
    command: Sequence[str],
    document: Document | None = None,
) -> list[Path]:
    """Write the report into the folder that is given; return the paths."""
    from idlescope.report import output_folder, trace_report

    assert output.folder is not None
    with (
        output_folder.written(output.folder, output.force, path) as draft,
        status_line(output.progress_console(), "writing the report"),
    ):
        shown_command = shlex.join([*command, "--out", str(output.folder)])
        written = trace_report.write_analysis(
            analysis.trace, analysis, draft.folder, shown_command, document
        )
    return draft.placed(written)


def _show(console: Console, analysis: Analysis, list_steps: bool, verbose: bool) -> None:
    """Print what is said of each device, then figures: the first of them, or all."""
    from idlescope.report.tables import devices
    from idlescope.report.tables.host_phases import phase_table
    from idlescope.report.tables.terminal import plain
    from idlescope.report.tables.trace_at_a_glance import glance_tables
    from idlescope.report.work_line import device_labels

    detailed = analysis.group is None or len(analysis.results) == 1
    if analysis.group is not None:
        detailed |= not analysis.group.communicates
        _show_group(console, analysis.group, detailed)
    results = analysis.results if detailed else ()
    alone = len(results) == 1
    for label, device in zip(device_labels(results), results, strict=True):
        whose = "" if alone else f"{label}: "
        _show_verdict(console, device, whose, verbose)
    for warning in analysis.warnings:
        console.print(plain(warning, "yellow"))
    console.print()
    console.print(plain(_source_text(analysis.source, analysis.engine), "dim"))
    if not analysis.results:
        console.print(phase_table(analysis))
    elif detailed:
        show = devices.analysis_tables if verbose else glance_tables
        for number, shown_table in enumerate(show(analysis)):
            if number:
                console.print()
            console.print(shown_table)
    for device in results:
        _show_details(console, device, list_steps, verbose)


def of_rank(analysis: Analysis, number: int | None) -> Analysis:
    """Return an analysis with the details of one rank only; of all where none is asked for.

    Raises ConfigError where there is no such rank.
    """
    if number is None:
        return analysis
    group = analysis.group
    if group is None:
        raise ConfigError(
            f"--rank {number}: {analysis.source['path']} is not of several ranks"
        )
    numbers = [rank.place.number for rank in group.ranks]
    if number not in numbers:
        known = ", ".join(map(str, sorted(set(numbers))))
        raise ConfigError(f"--rank {number}: there are ranks {known}")
    chosen = analysis.results[group.ranks[numbers.index(number)].row]
    return replace(analysis, results=(chosen,))


def _show_group(console: Console, group: Group, detailed: bool) -> None:
    """Print the ranks side by side, and what is said of all of them."""
    from idlescope.report.tables import ranks
    from idlescope.report.tables.terminal import plain

    verdict, *others = ranks.verdict_lines(group)
    console.print(plain(verdict, "bold"))
    for line in others:
        console.print(plain(line))
    console.print()
    console.print(ranks.ranks_table(group))
    if not detailed:
        console.print(plain("The details of one rank: --rank N", "italic"))


def _source_text(source: Mapping[str, Any], engine: str) -> str:
    """Return what was read."""
    span_note = f", spans of {engine}" if engine else ""
    return f"{source['path']}: {source['format']}, {source['events']:,} events{span_note}"


def _show_verdict(
    console: Console, device: DeviceResult, whose: str, verbose: bool
) -> None:
    """Print what is said of one device; of its prediction only where details are asked for.

    What asynchronous batching would give is in the verdict already.
    """
    from idlescope.report.tables.terminal import plain

    console.print(plain(f"{whose}{device.verdict.text}", "bold"))
    for further_text in (
        device.observer,
        device.prediction if verbose else None,
        device.roofline,
    ):
        if further_text is not None:
            console.print(plain(f"{whose}{further_text.text()}"))


def _show_details(
    console: Console, device: DeviceResult, list_steps: bool, verbose: bool
) -> None:
    """Print the steps of one device where they are asked for, and its further tables."""
    from idlescope.report.tables import devices
    from idlescope.report.tables.gaps import gap_lines
    from idlescope.report.tables.spread import spread_tables
    from idlescope.report.tables.terminal import plain
    from idlescope.report.work_line import device_label

    tables = []
    if list_steps and len(device.steps):
        tables.append(devices.step_table(device))
    if verbose and len(device.streams) > 1:
        tables.append(devices.stream_table(device))
    if verbose:
        tables += spread_tables(device)
    for table in tables:
        console.print()
        console.print(table)
    if not verbose:
        return
    console.print()
    if text_lines := gap_lines(device):
        console.print(plain(f"Longest gaps, {device_label(device)}", "italic"))
        for text_line in text_lines:
            console.print(plain(text_line))


def _show_next(console: Console, path: Path, mode: str | None = None) -> None:
    """Print how to look at a trace, of a run's folder that of a mode, or at a report."""
    from idlescope.cli.next_command import show_next

    chosen = [] if mode is None else ["--mode", mode]
    words = ["view", remote.shown(path), *chosen]
    show_next(console, words, "shows the timeline in a browser")
