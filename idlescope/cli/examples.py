"""The examples that `--help` ends with, of each command, in the order in which one needs them."""

from __future__ import annotations

EXAMPLES = {
    "idlescope": (
        "idlescope run --model 8b --tokens 8000",
        "idlescope analyze trace.json.gz",
        "idlescope doctor",
    ),
    "run": (
        "idlescope run --model 8b --tokens 8000",
        "idlescope run --model 8b --tokens 8192 --host-ms 8.81 --device-ms 27.89",
        "idlescope run --arrival poisson:2 --requests 200 --target token:20ms",
        "idlescope run --device cuda --model ./Llama-3.1-8B --profile torch:50",
    ),
    "sweep": (
        "idlescope sweep --model 1b,8b --device modelled:h200,modelled:h100",
        "idlescope sweep --model 8b --batch-size 1,8,32,128 --host-ms 1,4,8",
    ),
    "analyze": (
        "idlescope analyze trace.json.gz",
        "idlescope analyze trace.json.gz --window steps:5-20 --out report",
        "idlescope analyze export.sqlite --step-ms 7.5 --verbose",
    ),
    "explain": (
        "idlescope explain serialised",
        "idlescope explain cannot tell",
        "idlescope explain 'call: cudaStreamSynchronize'",
    ),
    "predict": (
        "idlescope predict trace.json.gz",
        "idlescope predict trace.json.gz --host 0.5 --without detokenize",
    ),
    "compare": (
        "idlescope compare before.json.gz after.json.gz",
        "idlescope compare base/* vs new/* --markdown",
    ),
    "view": (
        "idlescope view reports/example",
        "idlescope view trace.json.gz --perfetto",
    ),
    "capture": (
        "idlescope capture http://localhost:8000 --engine vllm --traces /tmp/traces",
    ),
    "watch": (
        "idlescope watch",
        "idlescope watch http://127.0.0.1:9401 --for 60s --max-idle 5%",
        "idlescope watch --rules monitoring",
    ),
    "check": (
        "idlescope check trace.json.gz --max-idle 5% --min-coverage 95%",
        "idlescope check new.json.gz --max-regression 2% --against base.json.gz",
        "idlescope check new.json.gz --history idle.jsonl --max-creep 10%",
    ),
    "doctor": ("idlescope doctor",),
    "convert": (
        "idlescope convert export.sqlite trace.json.gz",
        "idlescope convert --perfetto-sql > idle.sql",
    ),
    "scrub": ("idlescope scrub trace.json.gz to_share.json.gz",),
    "mcp": (
        "idlescope mcp traces/",
        "idlescope mcp before.json.gz after.json.gz",
    ),
    "skill": ("idlescope skill",),
    "schema": ("idlescope schema summary",),
}


def epilog(name: str) -> str:
    """Return the end of the help of a command, or of the program: a paragraph for each line."""
    return "\n\n".join(["Examples:", *(f"  {command}" for command in EXAMPLES[name])])
