"""Write everything that a run or an analysis leaves behind into one folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from idlescope.analysis.analyze import no_device
from idlescope.analysis.result import Analysis
from idlescope.errors import ConfigError, OutputExistsError
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.devices import choose
from idlescope.experiment.run import Run, environment
from idlescope.export.perfetto import writer
from idlescope.report.figures import figures
from idlescope.report.page import page
from idlescope.report.tables.terminal import (
    TITLES,
    device_label,
    device_rows,
    mode_rows,
    phase_columns,
    phase_rows,
    profiled_rows,
    window_label,
)
from idlescope.report.text import milliseconds, to_text
from idlescope.trace.model import Trace
from idlescope.trace.nsys import report_file
from idlescope.trace.recording import files


def claim(folder: Path, force: bool, source: Path | None = None) -> None:
    """Make the folder. Raises OutputExistsError where it holds anything, unless forced to replace what is written.

    Raises ConfigError, forced or not, where it is or holds `source`, the trace that is reported on.
    """
    if source is not None and _holds(folder, source):
        raise ConfigError(
            f"{source} is in {folder}, and the trace is never changed: give another --out"
        )
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file: give a folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise OutputExistsError(
            f"{folder} already holds files: give another --out, or --force to replace them"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputExistsError(
            f"{folder} cannot be made: {error.strerror or error}; give another --out"
        ) from error


@contextmanager
def claimed(folder: Path, force: bool, source: Path | None = None) -> Iterator[None]:
    """Make the folder as `claim` does; what fails meanwhile leaves no empty one behind."""
    claim(folder, force, source)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            folder.rmdir()  # only where it is empty
        raise


def _holds(folder: Path, source: Path) -> bool:
    """Return whether a folder is or holds a trace, by its name or by a link to it."""
    where = folder.resolve()
    if any(
        where == place or where in place.parents
        for place in (source.resolve(), source.parent.resolve() / "x")
    ):
        return True
    return (
        folder.is_dir()
        and source.is_file()
        and any(p.is_file() and p.samefile(source) for p in folder.iterdir())
    )


def free_name(base: Path) -> Path:
    """Return the folder of that name, or the first of name-2, name-3, … that is not there yet."""
    candidate, n = base, 1
    while candidate.exists():
        n += 1
        candidate = base.with_name(f"{base.name}-{n}")
    return candidate


def run_name(config: RunConfig) -> str:
    """Return what a run's folder is called by default."""
    chosen = choose(config.device)
    automatic = chosen.gpu.key if chosen.kind == "modelled" and chosen.gpu else chosen.kind
    device = automatic if config.device == "auto" else config.device.replace(":", "-")
    demand = f"t{config.tokens}".replace(":", "-").replace(",", "-")
    if config.workload is not None:
        demand = Path(config.workload).stem
    engine = "" if config.engine == "idlescope" else f"{config.engine}-"
    return f"{engine}{config.architecture.key}-{device}-b{config.batch_size}-{demand}"


def command(config: RunConfig) -> str:
    """Return the command line that repeats a run."""
    return shlex.join(["idlescope", "run", *config.words()])


def write_run(run: Run, folder: Path) -> list[Path]:
    """Write a run's report, traces, figures, recordings and summary; return the paths, the report first."""
    summary = run.summary()
    shown = [figures.Shown(mode, m.trace, m.result) for mode, m in run.modes.items()]
    c = run.config
    subtitle = f"{c.architecture.name}, batch {c.batch_size}, {run.device['name']}"
    written = []
    for mode, result in run.modes.items():
        written.append(folder / f"{mode}.trace.json.gz")
        writer.write(result.trace, written[-1], result.analysis.results)
        files.write(result.trace, folder / f"{mode}.recording")
        written.append(folder / f"{mode}.recording")
    kept = [mode.profiled.path for mode in run.modes.values() if mode.profiled is not None]
    drawn = figures.save(figures.draw_all(shown, subtitle), folder / "figures")
    (folder / "summary.json").write_text(to_text(summary), encoding="utf-8")
    written += [folder / "figures", folder / "summary.json"]
    headline = (
        [(f"{run.speedup:.3f}×", "asynchronous over synchronous")]
        if run.speedup is not None
        else []
    )
    headline += [
        (f"{m['active_pct']:.1f} %", f"device active, {TITLES[mode]}")
        for mode, m in summary["modes"].items()
    ]
    lines = [
        page.Line(item, mode.analysis.phases)
        for item, mode in zip(shown, run.modes.values(), strict=True)
    ]
    report = page.Page(
        title=_title(c),
        verdict=summary["verdict"],
        measured=_how(c, run),
        headline=headline,
        columns=[TITLES[mode] for mode in run.modes],
        rows=[
            *mode_rows(summary),
            *((f"profiled: {label.strip()}", cells) for label, cells in profiled_rows(summary)),
        ],
        figures=_svgs(drawn),
        lines=lines,
        warnings=run.notes,
        command=command(c),
        environment=summary["environment"],
        predictions=_foretold(summary),
        files=[str(p.relative_to(folder)) for p in (*written, *kept) if p.is_file()],
        open_with=_open_with(run.modes, kept),
        latencies=True,
    )
    page.write(report, folder / "report.html")
    return [folder / "report.html", *written, *kept]


def _foretold(summary: dict[str, Any]) -> list[str]:
    """Return how the time foretold by the synchronous run compares with that of the asynchronous one, in a sentence."""
    foretold, measured = summary["predicted"], summary["modes"].get("async")
    if foretold is None:
        return []
    total, low, high = (foretold[key] for key in ("total_s", "low_s", "high_s"))
    said = (
        f"From the synchronous run alone, asynchronous batching was predicted to take {total:,.2f} s ({low:,.2f} to "
        f"{high:,.2f} s)"
    )
    if measured is None or measured["interrupted"]:
        return [f"{said}."]
    off = 100 * (total / measured["total_s"] - 1)
    return [f"{said}; it took {measured['total_s']:,.2f} s: the prediction is {off:+.2f} % off."]


def _open_with(modes: Iterable[str], kept: Sequence[Path]) -> list[tuple[str, str]]:
    """Return commands that show a run's traces, to be run in its folder."""
    found = [
        (
            f"{TITLES[mode]}, in Perfetto, at its longest gap",
            f"idlescope view . --perfetto --mode {mode}",
        )
        for mode in modes
    ]
    reports = [path for path in kept if path.suffix == ".nsys-rep"]
    found += [("in Nsight Systems", shlex.join(["nsys-ui", path.name])) for path in reports]
    if not reports:
        exported = [
            f"idlescope convert {mode}.recording {mode}.sqlite && nsys stats {mode}.sqlite"
            for mode in modes
        ]
        found += [("with the tools of Nsight Systems", command) for command in exported[:1]]
    return found


def _title(config: RunConfig) -> str:
    lengths = f"of {config.prompt_tokens} + {config.tokens} tokens"
    if config.workload is not None:
        lengths = f"of {Path(config.workload).name}"
    arriving = "" if config.arrival == "closed" else f", arriving {config.arrival}"
    name, requests = config.architecture.name, config.request_count
    if config.engine != "idlescope":
        name = f"{name} in {config.engine}"
    return f"{name}, {requests} requests {lengths}{arriving}, batch {config.batch_size}"


def _how(config: RunConfig, run: Run) -> str:
    measured = run.device["measured"]
    host = "host time measured"
    if config.host_ms is not None:
        host = f"host {'kept busy' if measured else 'time fixed at'} {config.host_ms:g} ms a step"
    if measured:
        return f"{run.device['name']}: {host}, device time measured"
    if config.device_ms is not None:
        return f"{run.device['name']}: {host}, compute fixed at {config.device_ms:g} ms a step"
    return f"{run.device['name']}: {host}, GPU times modelled, not measured"


def write_analysis(trace: Trace, analysis: Analysis, folder: Path, command: str) -> list[Path]:
    """Write a trace's report, figures and analysis; return the paths, the report first."""
    shown = [figures.Shown(device_label(d), trace, d) for d in analysis.results]
    source = Path(analysis.source["path"]).name
    drawn = figures.save(figures.draw_all(shown, source), folder / "figures") if shown else []
    (folder / "analysis.json").write_text(to_text(analysis.to_json()), encoding="utf-8")
    unseen = no_device(trace)
    verdict, headline = f"No device was seen: {unseen}", []
    columns, rows = phase_columns(analysis), phase_rows(analysis)
    if shown:
        worst = max(analysis.results, key=lambda d: d.idle_pct)
        verdict = worst.verdict.text
        headline = [
            (f"{worst.idle_pct:.2f} %", f"idle, device {device_label(worst)}"),
            (milliseconds(worst.occupancy.idle_ns), "idle time"),
            (milliseconds(worst.occupancy.window_ns), window_label([worst])),
        ]
        columns, rows = [s.label for s in shown], device_rows(analysis)
    report = page.Page(
        title=source,
        verdict=verdict,
        measured="modelled, not measured"
        if trace.meta.get("measured") is False
        else "as recorded in the trace",
        headline=headline,
        columns=columns,
        rows=rows,
        figures=_svgs(drawn),
        lines=[page.Line(item, analysis.phases) for item in shown],
        warnings=[warning for warning in analysis.warnings if shown or warning != unseen],
        command=command,
        environment=environment(),
        predictions=[
            f"{device_label(d)}: {d.prediction.text()}"
            for d in analysis.results
            if d.prediction is not None
        ],
        files=["analysis.json"],
        open_with=_open_trace(Path(analysis.source["path"])),
    )
    page.write(report, folder / "report.html")
    return [
        folder / "report.html",
        *([folder / "figures"] if drawn else []),
        folder / "analysis.json",
    ]


def _open_trace(source: Path) -> list[tuple[str, str]]:
    """Return commands that show a trace."""
    found = [
        (
            "in Perfetto, at its longest gap",
            shlex.join(["idlescope", "view", str(source), "--perfetto"]),
        )
    ]
    if source.suffix in report_file.SUFFIXES:
        found.append(("in Nsight Systems", shlex.join(["nsys-ui", str(source)])))
    return found


def _svgs(paths: list[Path]) -> dict[str, Path]:
    return {p.stem: p for p in paths if p.suffix == ".svg"}
