"""Workload files: prompt and output lengths, or conversations in ShareGPT's format.

One JSON object a line (JSONL), or one JSON array of them. An object has lengths, under any of the names that serving
benchmarks give them, and may say when its request arrives; or it has a conversation, whose first question is the
prompt and whose answer to it says how long the output is, as in vLLM's benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from idlescope.engine.workload import ARRIVAL_STREAM, Arrivals, Workload
from idlescope.errors import ConfigError
from idlescope.trace.table import Int64

PROMPT_NAMES = ("prompt_tokens", "prompt_len", "input_tokens", "input_len", "input_length")
OUTPUT_NAMES = ("output_tokens", "output_len", "output_length")
ARRIVAL_UNITS = {
    "arrival_s": 1.0,
    "timestamp": 1e-3,
}  # seconds; the `timestamp` of Mooncake's traces is milliseconds
MOST_ARRIVAL_S = 9e9  # within int64 nanoseconds
ASKING = ("human", "user")
CHARACTERS_A_TOKEN = 4  # of English text (OpenAI, "What are tokens and how to count them?")
Count = Callable[[str], list[int]]  # the token ids of a text


class Entry(NamedTuple):
    """One request of a file."""

    prompt_tokens: int
    output_tokens: int
    arrival_s: float | None


def read(
    path: Path,
    requests: int | None,
    arrival: Arrivals,
    positions: int,
    seed: int,
    count: Count | None = None,
) -> Workload:
    """Return the first so many requests of a file, or all; they arrive as `arrival` says unless the file says it.

    Arrivals in a file count from the earliest of those read. Without `count` the tokens of texts are estimated, which
    the notes say. Raises ConfigError naming the line of what cannot be read or exceeds the model's positions.
    """
    entries: list[Entry] = []
    left_out, estimated = 0, False
    for where, item in objects(path):
        if len(entries) == requests:
            break
        if "conversations" in item:
            texts = exchange(where, item["conversations"])
            if texts is None:
                left_out += 1
                continue
            estimated = count is None
            tokens = [
                max(1, len(count(text)))
                if count is not None
                else -(-len(text) // CHARACTERS_A_TOKEN)
                for text in texts
            ]
        else:
            tokens = [_length(where, item, names) for names in (PROMPT_NAMES, OUTPUT_NAMES)]
        if sum(tokens) > positions:
            raise ConfigError(
                f"{where}: {tokens[0]} prompt and {tokens[1]} output tokens exceed the model's {positions} positions"
            )
        entries.append(Entry(tokens[0], tokens[1], _arrival(where, item)))
        if (entries[0].arrival_s is None) != (entries[-1].arrival_s is None):
            raise ConfigError(f"{where}: either every request says when it arrives or none does")
    if not entries:
        raise ConfigError(f"{path} holds no requests")
    notes = []
    if estimated:
        notes.append(
            f"{path}: without a tokenizer its texts are taken to be {CHARACTERS_A_TOKEN} characters a token"
        )
    if left_out:
        notes.append(
            f"{path}: conversations without a question and its answer were left out: {left_out}"
        )
    if requests is not None and len(entries) < requests:
        notes.append(f"{path} holds {len(entries)} requests, not {requests}: each is run once")
    prompts, outputs = (np.array([entry[i] for entry in entries], np.int64) for i in (0, 1))
    return Workload(prompts, outputs, _arrivals(path, entries, arrival, seed), tuple(notes))


def objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each JSON object of a file, and where it is in words."""
    try:
        with path.open("rb") as file:
            start = file.read(1)
            while start.isspace():
                start = file.read(1)
            file.seek(0)
            if start == b"[":
                array = _decoded(str(path), file.read())
                for i, item in enumerate(array, 1):
                    yield _object(f"{path}, entry {i}", item)
            else:
                for i, line in enumerate(file, 1):
                    if line.strip():
                        yield _object(f"{path}, line {i}", _decoded(f"{path}, line {i}", line))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error


def exchange(where: str, turns: Any) -> tuple[str, str] | None:
    """Return the first question of a conversation and the answer to it; None where it has none, or an empty one."""
    if not isinstance(turns, list) or not all(
        isinstance(t, dict) and isinstance(t.get("from"), str) and isinstance(t.get("value"), str)
        for t in turns
    ):
        raise ConfigError(f'{where}: "conversations" is no list of {{"from": …, "value": …}} texts')
    for turn, answer in pairwise(turns):
        if turn["from"] in ASKING:
            texts = turn["value"], answer["value"]
            return texts if all(texts) else None
    return None


def _decoded(where: str, data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not JSON: {error}") from None


def _object(where: str, item: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(item, dict):
        raise ConfigError(f"{where} is no JSON object with lengths or a conversation")
    return where, item


def _length(where: str, item: dict[str, Any], names: tuple[str, ...]) -> int:
    name = next((name for name in names if name in item), None)
    if name is None:
        raise ConfigError(
            f'{where} has no "{names[0]}" (or {", ".join(names[1:])}) and no "conversations"'
        )
    value = item[name]
    if type(value) is not int or value < 1:
        raise ConfigError(f'{where}: "{name}" is no whole number of at least 1')
    return value


def _arrival(where: str, item: dict[str, Any]) -> float | None:
    name = next((name for name in ARRIVAL_UNITS if name in item), None)
    if name is None:
        return None
    value = item[name]
    if type(value) not in (int, float) or not 0 <= value * ARRIVAL_UNITS[name] <= MOST_ARRIVAL_S:
        unit = "seconds" if ARRIVAL_UNITS[name] == 1 else "milliseconds"
        raise ConfigError(f'{where}: "{name}" is no number of {unit} from 0 on')
    return float(value) * ARRIVAL_UNITS[name]


def _arrivals(path: Path, entries: list[Entry], arrival: Arrivals, seed: int) -> Int64:
    if entries[0].arrival_s is None:
        return arrival.draw(np.random.default_rng((seed, ARRIVAL_STREAM)), len(entries))
    if arrival != Arrivals():
        raise ConfigError(f"{path} says when its requests arrive: leave --arrival out")
    seconds = np.array([entry.arrival_s for entry in entries], np.float64)
    return np.rint((seconds - seconds.min()) * 1e9).astype(np.int64)
