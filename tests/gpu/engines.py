"""The engines that people run, beside one another: python3 tests/gpu/engines.py OUT vllm-8b sglang-1b …

One server with random weights for each mode and each way of being watched is started on one GPU: bare, by events, by
activity. First each watched one is loaded while its watch is off and on by turns (tests/gpu/by_turns.py). Then turns of each load go over all servers of an engine and size, one at a time: 32 requests that decode, eight, and 16
clients with prompts of 200 to 4,000 tokens. Then `capture` records the bare servers, and the watched ones write a recording.
Each measurement is a line of OUT/engines.jsonl, each capture leaves its traces in OUT.

python3 tests/gpu/engines.py OUT ranks       two GPUs: vLLM, tensor parallel, as it is and with one rank made slow, then
                                             asynchronous (not with two TURNS)
python3 tests/gpu/engines.py OUT table       what OUT/engines.jsonl says

Behind colons, as in vllm-8b:sync:bare+activity:decode=8,mixed=3: only that mode, these ways, and these loads so many times.
All servers that are asked for are up at the same time, on one GPU.

SITE, RUN: as in tests/gpu/watch.py; an engine's own SITE_VLLM or SITE_SGLANG comes first. WATCHES are the ways, WATCHES_ASYNC
those of asynchronous servers, LOADS and TURNS what is run how often ("decode,mixed", "5,3"), LOAD_S how long;
BY_TURNS_LOADS the loads that go with a watch off and on, BY_TURNS_S how long. Several may run at once on GPUs of their own: CUDA_VISIBLE_DEVICES, PORT.
"""

from __future__ import annotations

import itertools
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

import all_runs
import by_turns
import servers
import watch

LOADS = os.environ.get("LOADS", "decode,decode 8,mixed").split(",")
TURNS = [int(count) for count in os.environ.get("TURNS", "5,3,3").split(",")]
# A watch settles every three seconds where it is asked: two readings of a turn lie further apart.
LOAD_S = float(os.environ.get("LOAD_S", "7"))
PORT = int(os.environ.get("PORT", "8000"))
KV_TOKENS = {"8b": 50_000, "1b": 100_000}  # 6.1 and 3.1 GiB
KV_BYTES_PER_TOKEN = {"8b": 131_072, "1b": 32_768}
# Of a request: no request ends in LOAD_S, and SGLang, which sets 0.7 of them aside, runs all 32.
TOKENS = {"8b": (1500, 1500), "1b": (2000, 2000)}
WATCHES = os.environ.get("WATCHES", "bare,events")
WAYS = {  # by mode: five servers of 8B fit on an H200
    "sync": WATCHES.split(","),
    "async": os.environ.get("WATCHES_ASYNC", WATCHES).split(","),
}
SLOW_RANK, SLOW_MS = 1, 2.0
# What follows what while a watch is off and on by turns; CUPTI goes on while hooks are off.
STATES = {"events": ("off,on", "off,hooks"), "activity": ("off,on",)}
BY_TURNS_S = float(os.environ.get("BY_TURNS_S", "10"))
BY_TURNS = [
    load for load in os.environ.get("BY_TURNS_LOADS", "decode,mixed").split(",") if load
]
BY_TURNS_WAYS = os.environ.get("BY_TURNS_WAYS", "events,activity").split(",")
USUAL_LOADS = ",".join(f"{load}={count}" for load, count in zip(LOADS, TURNS, strict=True))
CAPTURED = os.environ.get("CAPTURED", "1") == "1"  # whether bare servers are recorded


def words_of(engine: str, size: str) -> list[str]:
    """Return what makes a server small enough to have others beside it on its GPU."""
    if engine == "sglang":
        words = ["--max-total-tokens", str(KV_TOKENS[size]), "--mem-fraction-static", "0.8"]
        words += ["--max-running-requests", "64", "--cuda-graph-max-bs", "64"]
        return [
            *words,
            "--sleep-on-idle",
        ]  # else it keeps a core from the server that is loaded
    kv_bytes = KV_TOKENS[size] * KV_BYTES_PER_TOKEN[size]
    words = ["--kv-cache-memory-bytes", str(kv_bytes), "--max-num-seqs", "64"]
    return [*words, "--gpu-memory-utilization", "0.1"]


def load_of(name: str, size: str) -> servers.Load:
    """Return a load as a model of a size gets it."""
    chosen = servers.LOADS[name]
    return chosen if name == "mixed" else chosen._replace(tokens=TOKENS[size])


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
        for name in ("mixed", "decode"):
            loads = [
                pool.submit(
                    servers.load, 5, watched.server.url, load_of(name, watched.size)
                )
                for watched in started
            ]
            for load in loads:
                load.result()


def keep_traces(watched: watch.Watched, out: Path) -> None:
    """Copy what a capture of a server left."""
    for path in sorted(watched.traces.rglob("*")):
        if path.is_file():
            shutil.copy(path, out / f"{watched.name}-{path.name}")


def capture(watched: watch.Watched, out: Path, *more: str) -> dict:
    """Record a server that decodes; return what `capture` said."""
    beside = servers.under_load(30, watched.server.url, TOKENS[watched.size][0])
    try:
        time.sleep(4)
        words = ("--seconds", "0.5", "--timeout", "60", "--json", *more)
        found = servers.captured(
            watched.engine, watched.traces, *words, url=watched.server.url
        )
    finally:
        beside.kill()
        beside.wait()
    keep_traces(watched, out)
    return found


def start(
    engine: str, size: str, port: int, only: str = "", only_ways: str = ""
) -> Iterator[watch.Watched]:
    """Start the servers of an engine and a size; "": of either mode, watched in all of its ways."""
    site = os.environ.get("SITE", "")
    own = os.environ.get(f"SITE_{engine.upper()}", "")
    plugin = str(turns_plugin(watch.WORK / "by_turns"))
    sites = os.pathsep.join(path for path in (plugin, own, site) if path)
    chosen = [
        (mode, way)
        for mode, ways in WAYS.items()
        for way in (only_ways.split("+") if only_ways else ways)
        if mode == (only or mode)
    ]
    for number, (mode, way) in enumerate(chosen):
        words = words_of(engine, size)
        os.environ["BY_TURNS"] = str(turns_folder(engine, size, mode, way))
        yield watch.Watched(engine, size, mode, way, port + number, words, sites)
        time.sleep(2)


def turns_plugin(folder: Path) -> Path:
    """Write the plugin that turns watches off and on; return the folder that holds it."""
    info = folder / "by_turns-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    shutil.copy(by_turns.__file__, folder)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: by_turns\nVersion: 1.0\n")
    groups = ("vllm.general_plugins", "sglang.srt.plugins")
    entries = [f"[{group}]\nby_turns = by_turns:install\n" for group in groups]
    (info / "entry_points.txt").write_text("".join(entries))
    return folder


def turns_folder(engine: str, size: str, mode: str, way: str) -> Path:
    """Return where a server's turns are told and measured."""
    folder = (watch.WORK / "turns" / f"{engine}_{size}_{mode}_{way}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def watched_by_turns(
    watched: watch.Watched, load: str, states: str, out: Path, seconds: float = BY_TURNS_S
) -> None:
    """Load a server whose watch is in these states by turns; say what they cost."""
    folder = turns_folder(watched.engine, watched.size, watched.mode, watched.way)
    for path in folder.glob("*.steps"):
        path.unlink()
    (folder / "states").write_text(states)
    rate = servers.load(seconds, watched.server.url, load_of(load, watched.size))
    (folder / "states").write_text("on")
    servers.load(1.5, watched.server.url, load_of("decode", watched.size))
    for path in folder.glob("*.steps"):
        name = f"{watched.name}-{load}-{states.replace(',', '-')}.steps".replace(" ", "")
        shutil.copy(path, out / name)
        other, state = states.split(",")
        kinds = (None, 1, 2, 3) if load == "mixed" else (2,)
        costs = {
            str(kind): found._asdict()
            for kind in kinds
            if (found := by_turns.compared(path, state, kind, other))
        }
        say(
            out,
            **about(watched, load=load, states=states, tokens_per_s_by_turns=rate),
            costs=costs,
        )


def about(watched: watch.Watched, **more: object) -> dict:
    """Return what tells a server from the others, and more."""
    known = {"engine": watched.engine, "size": watched.size, "mode": watched.mode}
    return known | {"way": watched.way} | more


def turns_of(loads: str) -> Iterator[tuple[str, int]]:
    """Yield each load of words such as "decode=8,mixed=3", with the number of its turn."""
    for word in loads.split(","):
        load, _, count = word.partition("=")
        for turn in range(int(count or 1)):
            yield load, turn


def parts_of(word: str) -> tuple[str, str, str, str]:
    """Return an engine with its size, a mode, ways and loads, as somebody asked for them; "": all."""
    name, mode, ways, loads = (*word.split(":"), "", "", "")[:4]
    return name, mode, ways, loads


def start_all(asked: Sequence[str]) -> Iterator[tuple[watch.Watched, str]]:
    """Start the servers of some engines and sizes; yield each with the word that asked for it."""
    for number, word in enumerate(asked):
        name, only, ways, _ = parts_of(word)
        engine, _, size = name.partition("-")
        for watched in start(engine, size, PORT + 10 * number, only, ways):
            yield watched, word


def try_engines(asked: Sequence[str], out: Path) -> None:
    """Run everything on some engines and sizes, whose servers all fit on one GPU."""
    started: list[watch.Watched] = []
    by_word: dict[str, list[watch.Watched]] = {}
    begin = time.monotonic()
    try:
        for watched, word in start_all(asked):
            started.append(watched)
            by_word.setdefault(word, []).append(watched)
        all_up(started)
        say(out, up_s=time.monotonic() - begin)
        for watched, load in itertools.product(started, BY_TURNS):
            chosen = STATES.get(watched.way, ()) if watched.way in BY_TURNS_WAYS else ()
            for states in chosen[:1] if load == "mixed" else chosen:
                watched_by_turns(watched, load, states, out)
        for word, those in by_word.items():
            for load, turn in turns_of(parts_of(word)[3] or USUAL_LOADS):
                for watched in those if turn % 2 == 0 else those[::-1]:
                    turn_of(watched, load, turn, out)
        for watched in started:
            if watched.way != "bare":
                say(out, **about(watched), recorded=watched.recorded(out))
            elif CAPTURED:
                say(out, **about(watched), captured=capture(watched, out))
    except Exception as error:  # what there is so far is worth keeping
        say(out, error=repr(error)[-3000:])
    finally:
        end(started, out)


def turn_of(watched: watch.Watched, load: str, turn: int, out: Path) -> None:
    """Load a server; say what it did, and how long launching its graphs took the host."""
    folder = turns_folder(watched.engine, watched.size, watched.mode, watched.way)
    by_turns.replays_of(folder)  # of before
    found = watched.loaded(LOAD_S, load_of(load, watched.size))
    replays_us = [time_ns / 1e3 for time_ns in by_turns.replays_of(folder)]
    if replays_us:
        found["replay_us"] = median(replays_us)
        found["replays"] = len(replays_us)
    say(out, **about(watched, load=load, turn=turn), **found)


def end(started: Sequence[watch.Watched], out: Path) -> None:
    """Kill the servers and keep their logs."""
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
    """Capture vLLM with two ranks, as it is and with one rank's host slow."""
    words = [*words_of("vllm", "8b"), "--tensor-parallel-size", "2"]
    words += ["--disable-custom-all-reduce", "--compilation-config"]
    words += [json.dumps({"pass_config": {"fuse_allreduce_rms": False}})]
    os.environ["VLLM_ALLREDUCE_USE_SYMM_MEM"] = "0"
    os.environ["SLOW_RANK"] = str(SLOW_RANK)
    site = os.pathsep.join(
        [str(slow_plugin(watch.WORK / "slow")), os.environ.get("SITE", "")]
    )
    started: list[watch.Watched] = []
    tried = [("sync", 0.0), ("sync", SLOW_MS), ("async", 0.0)][: len(TURNS)]
    try:
        for number, (mode, slow_ms) in enumerate(tried):
            os.environ["SLOW_MS"] = str(slow_ms)
            way = "slow" if slow_ms else "bare"
            started.append(
                watch.Watched("vllm", "8b", mode, way, PORT + number, words, site)
            )
            time.sleep(3)
        all_up(started)
        for turn, watched in itertools.product(range(TURNS[0]), started):
            found = watched.loaded(LOAD_S, load_of("decode", "8b"))
            say(out, **about(watched, load="decode", turn=turn, ranks=2), **found)
        for watched in started:
            found = capture(watched, out, "--ranks", "2")
            say(out, **about(watched, ranks=2), captured=found)
    except Exception as error:  # what there is so far is worth keeping
        say(out, ranks=2, error=repr(error)[-3000:])
    finally:
        end(started, out)


def table(lines: Sequence[dict]) -> Iterator[str]:
    """Yield what was measured, a line for each server and load.

    `without` is idle as it is without a watch: one less the share of the time that the device worked while it was
    watched, times the watched server's step over the bare one's.
    """
    measured = [line for line in lines if "tokens_per_s" in line]
    keys = list(dict.fromkeys(
        (line["engine"], line["size"] + " tp2" * ("ranks" in line), line["mode"], line["load"]) for line in measured
    ))  # fmt: skip
    for key in keys:
        of_key = [
            line
            for line in measured
            if (
                line["engine"],
                line["size"] + " tp2" * ("ranks" in line),
                line["mode"],
                line["load"],
            )
            == key
        ]
        bare = {
            line["turn"]: all_runs.step_ms(line) for line in of_key if line["way"] == "bare"
        }
        for way in dict.fromkeys(line["way"] for line in of_key):
            turns = [line for line in of_key if line["way"] == way]
            rate = median(line["tokens_per_s"] for line in turns)
            step_ms = median(all_runs.step_ms(line) for line in turns)
            shown = f"{' '.join(key):26} {way:9} {rate:8.0f} tokens/s {step_ms:6.2f} ms"
            ratios = [
                bare[line["turn"]] / all_runs.step_ms(line)
                for line in turns
                if line["turn"] in bare
            ]
            if way != "bare" and ratios:
                shown += "  ratio " + " ".join(f"{ratio:.3f}" for ratio in ratios)
            watched = [
                line
                for line in turns
                if line.get("watched", {}).get("watched_s") and line["turn"] in bare
            ]
            if watched:
                idle = median(line["watched"]["idle_pct"] for line in watched)
                without = median(
                    100
                    - (100 - line["watched"]["idle_pct"])
                    * all_runs.step_ms(line)
                    / bare[line["turn"]]
                    for line in watched
                )
                said = median(line["watched"]["idle_without_watch_pct"] for line in watched)
                shown += f"  idle {idle:5.2f} % watched, said {said:5.2f} % and {without:5.2f} % without"
                shown += f"  {watched[-1]['watched']['batching']}"
                shown += f"  own {median(line['watched']['overhead_us_per_step'] for line in watched):.0f} us"
                foretold = [line["watched"]["foretold"] for line in watched]
                steps = [gain["predicted_step_ns"] / 1e6 for gain in foretold if gain]
                if steps:
                    shown += f"  foretold {median(steps):.2f} ms"
            yield shown
    for line in lines:
        for kind, cost in line.get("costs", {}).items():
            server = " ".join(
                line[key] for key in ("engine", "size", "mode", "way", "load")
            )
            share = 0.1 / cost["other_ms"]  # of a microsecond, in per cent
            yield (
                f"{server:36} {line['states']:9} steps of kind {kind}: {cost['other_ms']:.2f} ms, "
                f"{share * cost['cost_us']:+.2f} +- {share * cost['error_us']:.2f} %"
            )
        if "error" in line:
            yield f"error {line}"


def main(out: Path, asked: Sequence[str]) -> None:
    """Run what is asked for."""
    out.mkdir(parents=True, exist_ok=True)
    watch.WORK.mkdir(parents=True, exist_ok=True)
    if asked == ["table"]:
        lines = (out / "engines.jsonl").read_text().splitlines()
        print("\n".join(table([json.loads(line) for line in lines])))
    elif asked == ["ranks"]:
        try_ranks(out)
    else:
        try_engines(asked, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
