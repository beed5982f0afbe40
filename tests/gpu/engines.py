"""The engines that people run, beside one another: python3 tests/gpu/engines.py OUT vllm|sglang 8b|1b

One server with random weights for each mode and each way of being watched is started on one GPU: bare, by events,
by activity (of the 8B, in synchronous mode only: no more fit). Turns of each load go over all of them, one
at a time: 32 requests that decode, eight, and 16 clients with prompts of 200 to 4,000 tokens. Then `capture`
records the bare servers. Each measurement is a line of OUT/engines.jsonl, each capture leaves its traces in OUT.

python3 tests/gpu/engines.py OUT ranks       two GPUs: vLLM, tensor parallel, as it is and with one rank made slow
python3 tests/gpu/engines.py OUT table       what OUT/engines.jsonl says

SITE, RUN: as in tests/gpu/watch.py. Several may run at once on GPUs of their own: CUDA_VISIBLE_DEVICES, PORT.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]

import servers
import watch

SECONDS = {"decode": 5.0, "decode 8": 5.0, "mixed": 7.0}
TURNS = {"decode": 5, "decode 8": 3, "mixed": 3}
PORT = int(os.environ.get("PORT", "8000"))
KV_TOKENS = 50_000  # 6.1 GiB of an 8B model
KV_BYTES_PER_TOKEN = {"8b": 131_072, "1b": 32_768}
WATCHES = {
    "8b": [("sync", "bare"), ("sync", "events"), ("sync", "activity"),
           ("async", "bare"), ("async", "events")],
    "1b": [(mode, way) for mode in ("sync", "async") for way in ("bare", "events", "activity")],
}  # fmt: skip
SLOW_RANK, SLOW_MS = 1, 2.0


def words_of(engine: str, size: str) -> list[str]:
    """Return what makes a server small enough to have others beside it on its GPU."""
    if engine == "sglang":
        words = ["--max-total-tokens", str(KV_TOKENS), "--mem-fraction-static", "0.8"]
        return [*words, "--max-running-requests", "64", "--cuda-graph-max-bs", "64"]
    kv_bytes = KV_TOKENS * KV_BYTES_PER_TOKEN[size]
    words = ["--kv-cache-memory-bytes", str(kv_bytes), "--max-num-seqs", "64"]
    return [*words, "--gpu-memory-utilization", "0.1"]


def say(out: Path, **found: object) -> None:
    """Keep what was found."""
    with (out / "engines.jsonl").open("a") as lines:
        lines.write(json.dumps(found) + "\n")
    print(json.dumps(found)[:600], flush=True)


def all_up(started: Sequence[watch.Watched], longest_s: float = 300) -> None:
    """Wait for each server, and have all of them compile what their loads need."""
    for watched in started:
        watched.server.wait(longest_s)
    with ThreadPoolExecutor(len(started)) as pool:
        for chosen in (servers.LOADS["mixed"], servers.DECODE):
            list(pool.map(lambda one: servers.load(5, one.server.url, chosen), started))  # noqa: B023


def keep_traces(watched: watch.Watched, out: Path) -> None:
    """Copy what a capture of a server left."""
    for path in sorted(watched.traces.rglob("*")):
        if path.is_file():
            shutil.copy(path, out / f"{watched.name}-{path.name}")


def capture(engine: str, watched: watch.Watched, out: Path, *more: str) -> dict:
    """Record a server that decodes; return what `capture` said."""
    beside = servers.under_load(30, watched.server.url)
    try:
        time.sleep(4)
        words = ("--seconds", "0.5", "--timeout", "60", "--json", *more)
        found = servers.captured(engine, watched.traces, *words, url=watched.server.url)
    finally:
        beside.kill()
        beside.wait()
    keep_traces(watched, out)
    return found


def try_engine(engine: str, size: str, out: Path) -> None:
    """Run everything on one engine and one model."""
    about = {"engine": engine, "size": size}
    started: list[watch.Watched] = []
    begin = time.monotonic()
    try:
        for number, (mode, way) in enumerate(WATCHES[size]):
            words = words_of(engine, size)
            started.append(watch.Watched(engine, size, mode, way, PORT + number, words))
            time.sleep(2)
        all_up(started)
        say(out, **about, up_s=time.monotonic() - begin)
        turns = [(kind, turn) for kind, count in TURNS.items() for turn in range(count)]
        for load, turn in turns:
            for watched in started if turn % 2 == 0 else started[::-1]:
                found = watched.loaded(SECONDS[load], servers.LOADS[load])
                which = {"mode": watched.mode, "way": watched.way, "load": load}
                say(out, **about, **which, turn=turn, **found)
        for watched in started:
            if watched.way == "bare":
                found = capture(engine, watched, out)
                say(out, **about, mode=watched.mode, way="capture", **found)
            elif watched.mode == "sync":
                found = watched.recorded(out)
                say(out, **about, mode=watched.mode, way=watched.way, recorded=found)
    except Exception as error:  # what there is so far is worth keeping
        say(out, **about, error=repr(error)[-3000:])
    finally:
        for watched in started:
            watched.server.process.kill()
        for watched in started:
            watched.server.kill()
            shutil.copy(watched.log, out)


SLOW_PLUGIN = '''
"""A plugin of vLLM that makes one rank's host slow: SLOW_MS of busy loop before each of its steps."""

import os
import time


def slow():
    slow_ms = float(os.environ.get("SLOW_MS", "0"))
    if not slow_ms:
        return
    from vllm.v1.worker.gpu_worker import Worker

    execute_model = Worker.execute_model

    def slowly(self, scheduler_output):
        if self.rank == int(os.environ["SLOW_RANK"]):
            end = time.perf_counter_ns() + int(1e6 * slow_ms)
            while time.perf_counter_ns() < end:
                pass
        return execute_model(self, scheduler_output)

    Worker.execute_model = slowly
'''


def slow_plugin(folder: Path) -> Path:
    """Write the plugin and its entry point; return the folder that holds them."""
    info = folder / "slow_rank-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (folder / "slow_rank.py").write_text(SLOW_PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow_rank\nVersion: 1.0\n")
    entry = "[vllm.general_plugins]\nslow_rank = slow_rank:slow\n"
    (info / "entry_points.txt").write_text(entry)
    return folder


def try_ranks(out: Path) -> None:
    """Capture vLLM with two ranks, as it is and with one rank's host slow; both modes of batching."""
    words = [*words_of("vllm", "8b"), "--tensor-parallel-size", "2"]
    words += ["--disable-custom-all-reduce", "--compilation-config"]
    words += [json.dumps({"pass_config": {"fuse_allreduce_rms": False}})]
    os.environ["VLLM_ALLREDUCE_USE_SYMM_MEM"] = "0"
    os.environ["SLOW_RANK"] = str(SLOW_RANK)
    site = os.environ.get("SITE", "")
    os.environ["SITE"] = os.pathsep.join([str(slow_plugin(watch.WORK / "slow")), site])
    started: list[watch.Watched] = []
    tried = [("sync", 0.0), ("sync", SLOW_MS), ("async", 0.0)]
    try:
        for number, (mode, slow_ms) in enumerate(tried):
            os.environ["SLOW_MS"] = str(slow_ms)
            way = "slow" if slow_ms else "bare"
            started.append(watch.Watched("vllm", "8b", mode, way, PORT + number, words))
            started[-1].name += "_tp2"
            time.sleep(3)
        all_up(started)
        for turn in range(3):
            for watched in started:
                which = {"mode": watched.mode, "way": watched.way, "load": "decode"}
                found = watched.loaded(SECONDS["decode"])
                say(out, engine="vllm", size="8b tp2", **which, turn=turn, **found)
        for watched, (mode, slow_ms) in zip(started, tried, strict=True):
            found = capture("vllm", watched, out, "--ranks", "2")
            say(out, engine="vllm", size="8b tp2", mode=mode, slow_ms=slow_ms, **found)
    except Exception as error:
        say(out, engine="vllm", size="8b tp2", error=repr(error)[-3000:])
    finally:
        for watched in started:
            watched.server.process.kill()
            watched.server.kill()
            shutil.copy(watched.log, out)


def table(lines: Sequence[dict]) -> Iterator[str]:
    """Yield what was measured, a line for each server and load.

    `without` is idle as it is without a watch: one less the share of the time that the device worked while it was
    watched, times the bare server's tokens/s over the watched one's.
    """
    measured = [line for line in lines if "tokens_per_s" in line]
    keys = list(dict.fromkeys(
        (line["engine"], line["size"], line["mode"], line["load"]) for line in measured
    ))  # fmt: skip
    for key in keys:
        of_key = [
            line
            for line in measured
            if (line["engine"], line["size"], line["mode"], line["load"]) == key
        ]
        bare = {
            line["turn"]: line["tokens_per_s"] for line in of_key if line["way"] == "bare"
        }
        for way in dict.fromkeys(line["way"] for line in of_key):
            turns = [line for line in of_key if line["way"] == way]
            rate = median(line["tokens_per_s"] for line in turns)
            step_ms = median(line["step_ms"] for line in turns)
            shown = f"{' '.join(key):26} {way:9} {rate:8.0f} tokens/s {step_ms:6.2f} ms"
            ratios = [
                line["tokens_per_s"] / bare[line["turn"]]
                for line in turns
                if line["turn"] in bare
            ]
            if way != "bare" and ratios:
                shown += "  ratio " + " ".join(f"{ratio:.3f}" for ratio in ratios)
            watched = [line for line in turns if line.get("watched", {}).get("watched_s")]
            if watched:
                idle = median(line["watched"]["idle_pct"] for line in watched)
                without = median(
                    100
                    - (100 - line["watched"]["idle_pct"])
                    * bare[line["turn"]]
                    / line["tokens_per_s"]
                    for line in watched
                )
                shown += f"  idle {idle:5.2f} % watched, {without:5.2f} % without"
                shown += f"  {watched[-1]['watched']['batching']}"
                shown += f"  own {median(line['watched']['overhead_us_per_step'] for line in watched):.0f} us"
                foretold = [line["watched"]["foretold"] for line in watched]
                steps = [gain["predicted_step_ns"] / 1e6 for gain in foretold if gain]
                if steps:
                    shown += f"  foretold {median(steps):.2f} ms"
            yield shown
    for line in lines:
        if "error" in line:
            yield f"error {line}"


def main(out: Path, what: str, sizes: Sequence[str]) -> None:
    """Run what is asked for."""
    out.mkdir(parents=True, exist_ok=True)
    watch.WORK.mkdir(parents=True, exist_ok=True)
    if what == "table":
        lines = (out / "engines.jsonl").read_text().splitlines()
        print("\n".join(table([json.loads(line) for line in lines])))
    elif what == "ranks":
        try_ranks(out)
    else:
        for size in sizes:
            try_engine(what, size, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
