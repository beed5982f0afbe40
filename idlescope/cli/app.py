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


@app.command()
def run(
    model: Annotated[str, typer.Option(help="8b, 1b, 3b, 70b, qwen3-0.6b, qwen3-8b or tiny.")] = "8b",
    tokens: Annotated[int, typer.Option(help="New tokens a request.")] = 1000,
    prompt_tokens: Annotated[int, typer.Option(help="Prompt tokens a request.")] = 256,
    batch_size: Annotated[int, typer.Option(help="Requests that run at once.")] = 32,
    requests: Annotated[Optional[int], typer.Option(help="Requests in all; the batch size unless given.")] = None,  # noqa: UP045
    device: Annotated[
        str, typer.Option(help="auto, or modelled:GPU with GPU of h200, h100, a100, b200, l40s, rtx4090.")
    ] = "auto",
    mode: Annotated[str, typer.Option(help="sync, async or both.")] = "both",
    host_ms: Annotated[Optional[float], typer.Option(help="Fix the host's cost of a step.")] = None,  # noqa: UP045
    device_ms: Annotated[Optional[float], typer.Option(help="Fix the compute time of a step.")] = None,  # noqa: UP045
    max_batch_tokens: Annotated[
        int, typer.Option(help="Query tokens of one step; longer prompts go in chunks.")
    ] = 8192,
    block_size: Annotated[int, typer.Option(help="Tokens a KV block.")] = 16,
    kv_blocks: Annotated[Optional[int], typer.Option(help="KV blocks; what fits in memory unless given.")] = None,  # noqa: UP045
    stop_at_eos: Annotated[bool, typer.Option("--stop-at-eos", help="End a request at the model's EOS.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of prompts and tokens.")] = 0,
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
        model=model, device=device, mode=mode, tokens=tokens, prompt_tokens=prompt_tokens, batch_size=batch_size,
        requests=requests, max_batch_tokens=max_batch_tokens, block_size=block_size, kv_blocks=kv_blocks,
        host_ms=host_ms, device_ms=device_ms, stop_at_eos=stop_at_eos, seed=seed,
    )  # fmt: skip
    run_command(config, out, force, as_json)


@app.command()
def analyze(
    trace: Annotated[Path, typer.Argument(help="A torch.profiler trace (.json, .json.gz) or a recording's folder.")],
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Say how idle each GPU of a trace was, and why.

    Reads torch.profiler (Kineto) traces and idlescope's own recordings; the trace is never changed.
    """
    from idlescope.cli.analyze import analyze_command

    analyze_command(trace, out, force, as_json)
