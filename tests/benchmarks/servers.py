"""What is said of recorded servers beside what they did unprofiled: the table of reports/accuracy.md.

    python tests/benchmarks/servers.py [FOLDER]

FOLDER holds whole traces named as the fixtures are, with `_h200` before the suffix; the fixtures,
ten steps of each, unless given. True figures are the servers' own load tests
(tests/fixtures/README.md).
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import idlescope
from idlescope.analysis.result import DeviceResult

# trace, engine, how it ran, step unprofiled in ms, step asynchronous and unprofiled in ms
SERVERS = (
    ("vllm_8b_sync", "vLLM 0.24.0, 8B", "synchronous", 8.1, 6.16),
    ("vllm_8b_async", "vLLM 0.24.0, 8B", "asynchronous", 6.16, 6.16),
    ("vllm_1b_async", "vLLM 0.24.0, 1B", "asynchronous, host slower", 3.45, 3.45),
    ("vllm_1b_sync", "vLLM 0.24.0, 1B", "synchronous", 4.34, 3.67),
    ("vllm_8b_tp2_sync/rank0", "vLLM 0.24.0, 8B, TP 2, rank 0", "synchronous", 6.3, 4.7),
    ("vllm_8b_tp2_sync/rank1", "vLLM 0.24.0, 8B, TP 2, rank 1", "synchronous", 6.3, 4.7),
    ("sglang_8b_sync", "SGLang 0.5.13, 8B", "synchronous", 7.55, 6.3),
    ("sglang_8b_sync_stacks", "SGLang 0.5.13, 8B, stacks", "synchronous", 7.8, 6.3),
    ("sglang_1b_sync", "SGLang 0.5.13, 1B", "synchronous", 3.31, 2.9),
)


def located(name: str, folder: Path | None) -> Path:
    """Return the trace of that name; of tensor parallelism the folder of both ranks.

    That of a folder, where it is there, else the project's own.
    """
    job, _, _ = name.partition("/")
    fixture = ROOT / "tests" / "fixtures" / job
    bases = [fixture] if folder is None else [folder / f"{job}_h200", fixture]
    traces = [
        base if base.is_dir() else base.with_name(f"{base.name}.json.gz") for base in bases
    ]
    return next((path for path in traces if path.exists()), traces[-1])


def analysed(name: str, folder: Path | None, step_ms: float | None) -> DeviceResult:
    """Return what is said of a device: of a rank, with the other ranks beside it."""
    analysis = idlescope.analyze(idlescope.open(located(name, folder)), step_ms=step_ms)
    return analysis.results[int(name[-1]) if "/rank" in name else 0]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    print(
        "| engine | ran | batching said | idle recorded | step estimated without the profiler, ms "
        "| measured | idle without, given that step | asynchronous step predicted, ms | measured |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for name, engine, ran, step_ms, asynchronous_ms in SERVERS:
        recorded, corrected = analysed(name, folder, None), analysed(name, folder, step_ms)
        said = str(recorded.batching.kind)
        if recorded.batching.host_is_slower:
            said += ", host slower"
        low, high = corrected.observer.idle_low_pct, corrected.observer.idle_high_pct
        estimated, predicted = "–", f"as {recorded.batching.driver}"
        if corrected.prediction is not None:
            estimated = f"{recorded.prediction.unprofiled.step_ns / 1e6:.2f}"
            predicted_ms = corrected.prediction.predicted.step_ns / 1e6
            off = 100 * (predicted_ms / asynchronous_ms - 1)
            predicted = f"{predicted_ms:.2f} ({off:+.1f} %)"
        cells = (
            engine,
            ran,
            said,
            f"{recorded.idle_pct:.1f} %",
            estimated,
            f"{step_ms:.2f}",
            f"{low:.0f} to {high:.0f} %",
            predicted,
            f"{asynchronous_ms:.2f}",
        )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
