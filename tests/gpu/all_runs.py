"""The one table: what all runs on servers measured. python3 tests/gpu/all_runs.py [reports/engines/engines.json]

Prints, as Markdown, a row for each engine, size, load and mode. Turns that lie side by side are compared: of one run, one machine, one number.

bare      step without any watch, ms, as the server counted it where all decode, else as its clients saw it: median, and how many turns
ratio     of a bare step to a watched one: median
idle      as watched; and by the bare step: one less the time per watched step in which the device worked over the bare step: medians of
          turns of which the bare step is known
named     how many of the watched turns were told the batching that the server had
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ENGINES_JSON = Path(__file__).resolve().parents[2] / "reports" / "engines" / "engines.json"
WAYS = ("events", "activity")
BATCHING = {"sync": "synchronous", "async": "asynchronous"}
LOADS = {"decode": "32 decode", "decode 8": "8 decode", "mixed": "mixed"}


def turns_of(document: object, run: str = "") -> Iterator[tuple[str, dict]]:
    """Yield each turn of a server under load, with the run that it was of."""
    if isinstance(document, list):
        for row in document:
            yield from turns_of(row, run)
    elif isinstance(document, dict):
        if {"mode", "load", "turn", "step_ms"} <= document.keys():
            yield run + str(document.get("machine", "")), document
        for name, part in document.items():
            yield from turns_of(part, f"{run}/{name}")


def step_ms(turn: dict) -> float:
    """Return the time of a step."""
    counted_ms = turn.get("counted_ms") if turn["load"].startswith("decode") else None
    return counted_ms or turn["step_ms"]


def step_is_known(turn: dict) -> bool:
    """Return whether all clients have a token of each step: else the clients' step is not the engine's.

    SGLang sets memory aside for what requests may grow to, and ran 18 to 28 of 32.
    """
    all_run = turn["engine"] == "vllm" or turn["load"] == "decode 8"
    return turn["load"].startswith("decode") and (all_run or bool(turn.get("counted_ms")))


def cells(turns: list[tuple[str, dict]]) -> Iterator[str]:
    """Yield what the turns of one server under one load say."""
    bare = {
        (run, turn["turn"]): step_ms(turn) for run, turn in turns if turn["way"] == "bare"
    }
    yield f"{median(bare.values()):.2f} ({len(bare)})"
    named = told = 0
    for way in WAYS:
        rows = [(run, turn) for run, turn in turns if turn["way"] == way]
        ratios, idle, by_bare = [], [], []
        for run, turn in rows:
            beside_ms = bare.get((run, turn["turn"]))
            watched = turn.get("watched") or turn
            if "batching" in watched:
                told += 1
                named += watched["batching"] == BATCHING[turn["mode"]]
            if beside_ms is None:
                continue
            ratios.append(beside_ms / step_ms(turn))
            if "idle_pct" in watched and step_is_known(turn):
                idle.append(watched["idle_pct"])
                by_bare.append(100 - 100 * watched["busy_ms_per_step"] / beside_ms)
        yield f"{median(ratios):.3f} ({len(ratios)})" if ratios else "–"
        yield f"{median(idle):.1f}; {median(by_bare):.1f} %" if idle else "–"
    yield f"{named} of {told}"


def main(path: Path) -> None:
    """Print the table."""
    servers: dict[tuple[str, ...], list[tuple[str, dict]]] = defaultdict(list)
    for run, turn in turns_of(json.loads(path.read_text())):
        if turn["way"] in ("bare", *WAYS) and "ranks" not in turn:
            key = (turn["size"], turn["engine"], turn["load"], turn["mode"])
            servers[key].append((run, turn))
    columns = ["server and load", "bare, ms"]
    for way in WAYS:
        columns += [f"ratio by {way}", "idle; by the bare step"]
    columns.append("named")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for (size, engine, load, mode), turns in sorted(servers.items(), reverse=True):
        name = f"{engine} {size}, {LOADS[load]}, {BATCHING[mode]}"
        print("| " + " | ".join([name, *cells(turns)]) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ENGINES_JSON)
