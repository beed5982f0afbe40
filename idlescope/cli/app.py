"""The commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from idlescope import __version__

app = typer.Typer(
    name="idlescope",
    help="See, explain and remove the idle time of a GPU that serves a language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"idlescope {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


Out = Annotated[Optional[Path], typer.Option(help="Folder to write to.", show_default=False)]  # noqa: UP045 - typer, 3.10
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier result in the folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]
RunMode = Annotated[str, typer.Option(help="sync, async or both.")]
BatchTokens = Annotated[
    int, typer.Option(help="Query tokens of one step; longer prompts go in chunks.")
]
Graphs = Annotated[
    bool,
    typer.Option("--graphs/--no-graphs", help="Run decode steps as CUDA graphs. Only on cuda."),
]
Devices = Annotated[
    Optional[list[int]], typer.Option("--device", help="Only this device; may be given again.")
]  # noqa: UP045
Process = Annotated[
    Optional[str], typer.Option(help="Only processes whose pid, rank or file has this in it.")
]  # noqa: UP045


@app.command()
def run(
    model: Annotated[
        str,
        typer.Option(
            help="8b, 1b, 3b, 70b, qwen3-0.6b, qwen3-8b or tiny, with random weights; or the folder of a Hugging "
            "Face checkpoint (Llama or Qwen3)."
        ),
    ] = "8b",
    tokens: Annotated[
        str,
        typer.Option(
            help="New tokens a request: a number, uniform:LOW,HIGH or lognormal:MEDIAN,SIGMA."
        ),
    ] = "1000",
    prompt_tokens: Annotated[str, typer.Option(help="Prompt tokens a request: the same.")] = "256",
    batch_size: Annotated[int, typer.Option(help="Requests that run at once.")] = 32,
    requests: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            help="Requests in all; the batch size, or all of --workload, unless given.",
            show_default=False,
        ),
    ] = None,
    arrival: Annotated[
        str,
        typer.Option(
            help="closed (all there at the start), poisson:RATE (requests a second), burst:SIZE,SECONDS (groups, so "
            "far apart) or burst (the batch size, every second)."
        ),
    ] = "closed",
    workload: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help='JSONL of lengths, {"prompt_tokens": 512, "output_tokens": 128, "arrival_s": 0.5} (arrival_s may be '
            "missing), or of conversations in ShareGPT's format, or a JSON array of them; the first --requests of it.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="cuda, cpu, or modelled:GPU with GPU of h200, h100, a100, b200, l40s, rtx4090; auto is cuda where "
            "there is one, else modelled:h200."
        ),
    ] = "auto",
    engine: Annotated[
        str,
        typer.Option(
            help="idlescope, or transformers: its own continuous batching, greedy, on cuda or cpu."
        ),
    ] = "idlescope",
    mode: RunMode = "both",
    host_ms: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            help="Fix the host's cost of a step: a measured host is kept busy for so long.",
            show_default=False,
        ),
    ] = None,
    device_ms: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            help="Fix the compute time of a step. Only on a modelled GPU.", show_default=False
        ),
    ] = None,
    max_batch_tokens: BatchTokens = 8192,
    block_size: Annotated[int, typer.Option(help="Tokens a KV block.")] = 16,
    kv_blocks: Annotated[
        Optional[int], typer.Option(help="KV blocks; what fits in memory unless given.")
    ] = None,  # noqa: UP045
    stop_at_eos: Annotated[
        bool, typer.Option("--stop-at-eos", help="End a request at the model's EOS.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of lengths, arrivals, prompts and tokens.")] = 0,
    dtype: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Of weights and KV cache: auto, bfloat16, float16 or float32; the device's default unless given. "
            "Not on a modelled GPU.",
            show_default=False,
        ),
    ] = None,
    graphs: Graphs = True,
    warmup: Annotated[
        int,
        typer.Option(
            help="New tokens a request of a first batch that is not timed. Not on a modelled GPU."
        ),
    ] = 8,
    temperature: Annotated[
        float, typer.Option(help="Of sampling; 0 takes the likeliest token. Not on a modelled GPU.")
    ] = 0.0,
    top_k: Annotated[
        int,
        typer.Option(
            help="Sample among so many likeliest tokens; 0 is all. Not on a modelled GPU."
        ),
    ] = 0,
    top_p: Annotated[
        float,
        typer.Option(
            help="Sample among the likeliest tokens that have this probability together. Not on a modelled GPU."
        ),
    ] = 1.0,
    sync_check: Annotated[
        str,
        typer.Option(
            help="What a call does that makes the host wait for the GPU where it should not: off, warn or error. "
            "Only on cuda."
        ),
    ] = "off",
    profile: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="TOOL[:STEPS]",
            help="Record some steps of each mode with torch (torch.profiler) or nsys: 20 of them after the start, or "
            "so many (torch:50), or these (torch:100-120). Not on a modelled GPU.",
            show_default=False,
        ),
    ] = None,
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Run continuous batching, synchronous and asynchronous, and show where the GPU's time went.

    Writes a report, figures, Perfetto traces and recordings to reports/NAME or --out.
    """
    from idlescope.cli.run import run_command
    from idlescope.experiment.config import RunConfig

    config = RunConfig(
        model=model, engine=engine, device=device, mode=mode, tokens=_number(tokens),
        prompt_tokens=_number(prompt_tokens), batch_size=batch_size, requests=requests, arrival=arrival,
        workload=workload, max_batch_tokens=max_batch_tokens, block_size=block_size, kv_blocks=kv_blocks,
        host_ms=host_ms, device_ms=device_ms, stop_at_eos=stop_at_eos, seed=seed, dtype=dtype, graphs=graphs,
        warmup=warmup, temperature=temperature, top_k=top_k, top_p=top_p, sync_check=sync_check, profile=profile,
    )  # fmt: skip
    run_command(config, out, force, as_json)


@app.command()
def sweep(
    model: Annotated[
        list[str],
        typer.Option(help="As of `run`. Every option that takes LIST takes it.", metavar="LIST"),
    ] = ["8b"],  # noqa: B006 - typer copies it
    batch_size: Annotated[
        list[str], typer.Option(help="Requests that run at once.", metavar="LIST")
    ] = ["1,8,32,128"],  # noqa: B006
    host_ms: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="Fix the host's cost of a step; it is measured unless given.",
            metavar="LIST",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        list[str],
        typer.Option(
            help="As of `run`: modelled:h200,modelled:h100, cpu, cuda, auto.", metavar="LIST"
        ),
    ] = ["auto"],  # noqa: B006
    mode: RunMode = "both",
    tokens: Annotated[str, typer.Option(help="New tokens a request, as of `run`.")] = "500",
    prompt_tokens: Annotated[
        str, typer.Option(help="Prompt tokens a request, as of `run`.")
    ] = "256",
    requests: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            help="Requests of each cell in all; its batch size unless given.", show_default=False
        ),
    ] = None,
    max_batch_tokens: BatchTokens = 8192,
    seed: Annotated[int, typer.Option(help="Seed of lengths, prompts and tokens.")] = 0,
    dtype: Annotated[Optional[str], typer.Option(help="As of `run`.", show_default=False)] = None,  # noqa: UP045
    graphs: Graphs = True,
    warmup: Annotated[
        int, typer.Option(help="New tokens a request of a first batch that is not timed.")
    ] = 8,
    jobs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            help="Cells at once, of those on a modelled GPU with --host-ms; the cores unless given. Where time is "
            "measured a cell always runs alone.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on in --out: keep the cells that ran to their end there."
        ),
    ] = False,
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Run a grid of models, batch sizes, host costs and devices, and say from which batch size on each stops idling.

    LIST is one or more, with commas between; the option may be given again.

    Each cell is written as it ends, then table.csv, table.parquet, heat maps and sweep.json: to
    reports/sweep or --out.

    Cells that cannot be run are listed with the reason. The exit code is 1 where one failed or none
    could be run.
    """
    from idlescope.cli.sweep import sweep_command

    options = {
        "mode": mode, "tokens": _number(tokens), "prompt_tokens": _number(prompt_tokens), "requests": requests,
        "max_batch_tokens": max_batch_tokens, "seed": seed, "dtype": dtype, "graphs": graphs, "warmup": warmup,
    }  # fmt: skip
    sweep_command(
        model, device, host_ms or [], batch_size, options, jobs, resume, out, force, as_json
    )


def _number(text: str) -> int | str:
    """Return a number as one; a distribution, or what is neither, stays for RunConfig to read."""
    return int(text) if text.isdecimal() and len(text) < 10 else text


@app.command()
def analyze(
    trace: Annotated[
        Path,
        typer.Argument(
            help="A torch.profiler trace (.json, .json.gz), an Nsight Systems export (SQLite or Parquet folder) or "
            "report, a recording's folder, or a folder of traces, one a rank.",
        ),
    ],
    window: Annotated[
        str, typer.Option(help="first-last, range:NAME, steps:A-B or time:A-B (time:200ms-350ms).")
    ] = "first-last",
    device: Devices = None,
    process: Process = None,
    min_gap: Annotated[
        Optional[str], typer.Option(help="Count shorter gaps, but do not list them: 10us.")
    ] = None,  # noqa: UP045
    phases: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help='Span names of more engines: JSON {"engine": [["regular expression", "phase"]]}.'
        ),
    ] = None,
    frames: Annotated[
        bool,
        typer.Option(
            "--frames/--no-frames",
            help="Read operators and Python frames, for what the host was in.",
        ),
    ] = True,
    steps: Annotated[bool, typer.Option("--steps", help="List every step.")] = False,
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="For the roofline: a model as in `run`. Its batch is what span names say, or:"
        ),
    ] = None,
    batch_size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Requests that decode in a step, where span names do not say.", min=1),
    ] = None,
    context: Annotated[
        Optional[int], typer.Option(help="Cached tokens a request has, on average.", min=0)
    ] = None,  # noqa: UP045
    gpu: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Whose peaks count: h200, h100, a100, b200, l40s, rtx4090; what the trace says unless given."
        ),
    ] = None,
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Say how idle each GPU of a trace was, and why.

    Reads what torch.profiler, Nsight Systems and idlescope write; the trace is never changed.
    """
    from idlescope.cli.analyze import Choices, analyze_command

    choices = Choices(
        window,
        tuple(device or ()),
        process,
        min_gap,
        phases,
        frames,
        steps,
        model,
        batch_size,
        context,
        gpu,
    )
    analyze_command(trace, choices, out, force, as_json)


RunFolderMode = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Of folders of `idlescope run`: sync or async; every one they have unless given.",
                 show_default=False),
]  # fmt: skip
Window = Annotated[str, typer.Option(help="As of `analyze`.")]
PhaseFile = Annotated[
    Optional[Path], typer.Option(help="Span names of more engines, as of `analyze`.")
]  # noqa: UP045


@app.command()
def compare(
    recordings: Annotated[
        list[str],
        typer.Argument(
            metavar="A B",
            help="Traces that `analyze` reads, folders of `idlescope run`, or an analysis.json. The first is compared "
            "with each of the others; the word vs stands between sides of several recordings, as in base/* vs new/*. "
            "One folder of `idlescope run` alone: its two modes.",
        ),
    ],
    per: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Give times a step, token or window (in per cent); the first that is known unless given.",
                     show_default=False),
    ] = None,
    mode: RunFolderMode = None,
    window: Window = "first-last",
    device: Devices = None,
    process: Process = None,
    phases: PhaseFile = None,
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown for a pull request, and nothing else.")
    ] = False,
) -> None:  # fmt: skip
    """Say what changed between recordings, which part explains it, and whether it is more than noise.

    With three recordings or more of one side, noise is how they differ; else how the stretches of a
    recording do.
    """
    from idlescope.cli.compare import Selection, compare_command

    selection = Selection(mode, window, tuple(device or ()), process, phases)
    compare_command(recordings, selection, per, out, force, as_json, as_markdown)


@app.command()
def check(
    trace: Annotated[Path, typer.Argument(help="A trace that `analyze` reads, or a folder of `idlescope run`.")],
    max_idle: Annotated[Optional[str], typer.Option(help="Idle, of the window: 5%.", show_default=False)] = None,  # noqa: UP045
    max_idle_ms_per_step: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Idle a step, milliseconds: 0.3.", show_default=False),
    ] = None,
    min_coverage: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="How much of what ran the trace must hold: 95%. A trace on which no verdict can be given fails.",
            show_default=False,
        ),
    ] = None,
    max_regression: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Longer time a step than --against, beyond noise: 2%.", show_default=False),
    ] = None,
    against: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(help="What regressions are measured from; may be given again.", show_default=False),
    ] = None,
    mode: RunFolderMode = None,
    window: Window = "first-last",
    device: Devices = None,
    process: Process = None,
    phases: PhaseFile = None,
    junit: Annotated[Optional[Path], typer.Option(help="Write JUnit XML to this file.", show_default=False)] = None,  # noqa: UP045
    github: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option("--github/--no-github", help="Print annotations for GitHub; in its Actions unless told otherwise.",
                     show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Hold a trace to limits: exit code 0 where all hold, 1 where one does not, 2 for what cannot be read.

    What the trace cannot tell does not hold.
    """
    from idlescope.analysis.comparison.limits import Limits
    from idlescope.cli.check import check_command
    from idlescope.cli.compare import Selection

    limits = Limits.of(
        max_idle=max_idle, max_idle_ms_per_step=max_idle_ms_per_step, min_coverage=min_coverage,
        max_regression=max_regression,
    )  # fmt: skip
    selection = Selection(mode, window, tuple(device or ()), process, phases)
    check_command(trace, limits, against or (), selection, junit, github, as_json)


@app.command()
def predict(
    trace: Annotated[
        Path, typer.Argument(help="A trace that `analyze` reads, with at least three steps.")
    ],
    host: Annotated[
        float, typer.Option(help="Factor of the host's work: 0.5 is a host twice as fast.")
    ] = 1.0,
    device: Annotated[
        float, typer.Option(help="Factor of the device's compute time: 0.7 is a faster GPU.")
    ] = 1.0,
    depth: Annotated[
        int, typer.Option(help="Steps in flight: 1 is synchronous, 2 asynchronous batching.")
    ] = 2,
    graphs: Annotated[
        bool,
        typer.Option(
            "--graphs", help="Kernels that are launched one by one become one graph a step."
        ),
    ] = False,
    pinned: Annotated[
        bool,
        typer.Option(
            "--pinned", help="Copies of memory that is not pinned no longer block the host."
        ),
    ] = False,
    without: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="PHASE",
            help="A phase, span or range of the host that costs nothing: detokenize.",
        ),
    ] = None,
    window: Annotated[
        str, typer.Option(help="first-last, range:NAME, steps:A-B or time:A-B.")
    ] = "first-last",
    as_json: AsJson = False,
) -> None:
    """Say what asynchronous batching, or another change, would make of a trace's steps: they are replayed.

    With the interval that the variation from step to step allows, and what further changes are
    worth.
    """
    from idlescope.analysis.prediction.what_if import WhatIf
    from idlescope.cli.predict import predict_command

    predict_command(trace, WhatIf(depth, host, device, graphs, pinned, without), window, as_json)


@app.command()
def capture(
    url: Annotated[str, typer.Argument(metavar="URL", help="Of the server: http://HOST:PORT.")],
    traces: Annotated[
        Path,
        typer.Option(help="The folder that the server writes its traces to, as seen from here."),
    ],
    engine: Annotated[str, typer.Option(help="vllm or sglang.")],
    seconds: Annotated[float, typer.Option(help="How long the server's profiler records.")] = 5.0,
    ranks: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            help="Wait for so many trace files; until no more appear for 2 s unless given.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            help="Seconds to wait for each answer of the server, and for its trace files."
        ),
    ] = 300.0,
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Record a running vLLM or SGLang server with its own profiler, and analyse the traces.

    Nothing but URL is contacted. Ctrl-C stops the server's profiler, too.
    """
    from idlescope.capture.server import Recording
    from idlescope.cli.capture import capture_command

    capture_command(Recording(url, engine, traces, seconds, ranks, timeout), out, force, as_json)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A trace that `analyze` reads.")],
    target: Annotated[
        Path,
        typer.Argument(
            help="FILE.json[.gz] for Perfetto, FILE.sqlite for Nsight, FOLDER for Parquet."
        ),
    ],
    force: Force = False,
) -> None:
    """Convert a trace between Nsight, Kineto/Perfetto JSON and Parquet."""
    from idlescope.cli.convert import convert_command

    convert_command(source, target, force)


@app.command()
def scrub(
    source: Annotated[Path, typer.Argument(help="A trace or export to be shared.")],
    target: Annotated[Path, typer.Argument(help="The copy to write, of the same format.")],
    force: Force = False,
) -> None:
    """Copy a trace without environment, command lines, host names and process lists; its figures stay the same."""
    from idlescope.cli.scrub import scrub_command

    scrub_command(source, target, force)


@app.command()
def view(
    path: Annotated[
        Path,
        typer.Argument(
            help="A folder with a report, its report.html, or a trace that `analyze` reads."
        ),
    ],
    in_perfetto: Annotated[
        bool,
        typer.Option("--perfetto", help="Open the trace in the Perfetto UI, at its longest gap."),
    ] = False,
    mode: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Of a folder of `idlescope run`: sync or async; sync unless given.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="For the report; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    open_it: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser.")] = True,
) -> None:
    """Show a report, or a trace in Perfetto, in the browser.

    Served to this machine only. The Perfetto UI (ui.perfetto.dev) reads the trace from here;
    nothing is uploaded.
    """
    from idlescope.cli.view import view_command

    view_command(path, in_perfetto, mode, port, open_it)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what this machine can measure, and what to do about what it cannot.

    Looks at torch, CUDA, driver, nvtx, nsys, permissions, clock, cores and disk; nothing is
    changed.
    """
    from idlescope.cli.doctor import doctor_command

    doctor_command(as_json)
