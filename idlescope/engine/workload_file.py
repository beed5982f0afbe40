"""Workload files: prompt and output lengths, or conversations in ShareGPT's format.

One JSON object per line (JSONL), or one JSON array of them. An object has lengths, under any of the
names that serving benchmarks give them, and may say when its request arrives; or it has a
conversation, whose first question is the prompt and whose answer to it says how long the output is,
as in vLLM's benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from idlescope.engine.workload import ARRIVAL_STREAM, Arrivals, Workload
from idlescope.errors import ConfigError
from idlescope.plain_files import plain_size
from idlescope.trace.table import Int64

PROMPT_NAMES = ("prompt_tokens", "prompt_len", "input_tokens", "input_len", "input_length")
OUTPUT_NAMES = ("output_tokens", "output_len", "output_length")
MOST_ARRIVAL_S = 9e9  # within int64 nanoseconds
ASKING = ("human", "user")  # who asks in a conversation
CHARACTERS_PER_TOKEN = (
    4  # of English text (OpenAI, "What are tokens and how to count them?")
)

TokenIds = Callable[[str], list[int]]  # returns the token ids of a text
Length = Annotated[int, msgspec.Meta(ge=1)] | UnsetType
Seconds = Annotated[float, msgspec.Meta(ge=0, le=MOST_ARRIVAL_S)] | UnsetType
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=1e3 * MOST_ARRIVAL_S)] | UnsetType

# what to say of a field that holds something else
EXPECTED = {
    **dict.fromkeys((*PROMPT_NAMES, *OUTPUT_NAMES), "whole number of at least 1"),
    "arrival_s": "number of seconds from 0 on",
    "timestamp": "number of milliseconds from 0 on",
    "conversations": 'list of {"from": …, "value": …} texts',
}


class Turn(msgspec.Struct):
    """What one side of a conversation says."""

    speaker: str = msgspec.field(name="from")
    value: str


class Record(msgspec.Struct):
    """An object of a workload file; other fields are ignored."""

    conversations: list[Turn] | UnsetType = UNSET
    prompt_tokens: Length = UNSET
    prompt_len: Length = UNSET
    input_tokens: Length = UNSET
    input_len: Length = UNSET
    input_length: Length = UNSET
    output_tokens: Length = UNSET
    output_len: Length = UNSET
    output_length: Length = UNSET
    arrival_s: Seconds = UNSET
    timestamp: Milliseconds = UNSET  # of Mooncake's traces

    def first_of(self, names: tuple[str, ...]) -> int | None:
        """Return the value of the first of these fields that is there."""
        values = (getattr(self, field_name) for field_name in names)
        return next(
            (field_value for field_value in values if field_value is not UNSET), None
        )

    def arrival(self) -> float | None:
        """Return when the request arrives, in seconds; None where the file does not say it."""
        if self.arrival_s is not UNSET:
            return self.arrival_s
        return None if self.timestamp is UNSET else self.timestamp / 1e3


class Entry(NamedTuple):
    """One request of a file."""

    prompt_tokens: int
    output_tokens: int
    arrival_s: float | None


@dataclass
class Reading:
    """Makes entries of records, and keeps what the reader of the run's figures should know."""

    path: Path
    positions: int  # of the model
    token_ids: TokenIds | None
    entries: list[Entry] = field(default_factory=list)
    left_out: int = 0  # conversations without a question and its answer
    estimated: bool = False  # tokens of texts, for want of a tokenizer

    def take(self, where: str, record: Record) -> None:
        """Add a record's request. Raises ConfigError where it cannot be run."""
        tokens = self._tokens(where, record)
        if tokens is None:
            self.left_out += 1
            return
        prompt_tokens, output_tokens = tokens
        if prompt_tokens + output_tokens > self.positions:
            raise ConfigError(
                f"{where}: {prompt_tokens} prompt and {output_tokens} output tokens exceed the "
                f"model's {self.positions} positions"
            )
        new_entry = Entry(prompt_tokens, output_tokens, record.arrival())
        self.entries.append(new_entry)
        if (self.entries[0].arrival_s is None) != (new_entry.arrival_s is None):
            raise ConfigError(
                f"{where}: either every request says when it arrives or none does"
            )

    def _tokens(self, where: str, record: Record) -> tuple[int, int] | None:
        """Return prompt and output tokens of a record; None for a conversation without them."""
        if record.conversations is UNSET:
            return (
                _length(where, record, PROMPT_NAMES),
                _length(where, record, OUTPUT_NAMES),
            )
        exchange_texts = first_exchange(record.conversations)
        if exchange_texts is None:
            return None
        question, answer = exchange_texts
        return self._count(question), self._count(answer)

    def _count(self, text: str) -> int:
        if self.token_ids is None:
            self.estimated = True
            return -(-len(text) // CHARACTERS_PER_TOKEN)
        return max(1, len(self.token_ids(text)))

    def notes(self, wanted: int | None) -> tuple[str, ...]:
        """Return what to know of the workload, in sentences; `wanted` requests were asked for."""
        reading_notes = []
        if self.estimated:
            reading_notes.append(
                f"{self.path}: without a tokenizer its texts are taken to be "
                f"{CHARACTERS_PER_TOKEN} characters a token"
            )
        if self.left_out:
            reading_notes.append(
                f"{self.path}: conversations without a question and its answer were left out: "
                f"{self.left_out}"
            )
        if wanted is not None and len(self.entries) < wanted:
            reading_notes.append(
                f"{self.path} holds {len(self.entries)} requests, not {wanted}: each is run once"
            )
        return tuple(reading_notes)


def read(
    path: Path,
    requests: int | None,
    arrival: Arrivals,
    positions: int,
    seed: int,
    token_ids: TokenIds | None = None,
) -> Workload:
    """Return the first so many requests of a file, or all.

    They arrive as `arrival` says unless the file says it: then arrivals count from the earliest of
    those read. Without `token_ids` the tokens of texts are estimated, which the notes say.
    Raises ConfigError naming the line of what cannot be read or exceeds the model's positions.
    """
    reading = Reading(path, positions, token_ids)
    for record_place, record in records(path):
        if len(reading.entries) == requests:
            break
        reading.take(record_place, record)
    entries = reading.entries
    if not entries:
        raise ConfigError(f"{path} holds no requests")
    return Workload(
        np.array([read_entry.prompt_tokens for read_entry in entries], np.int64),
        np.array([read_entry.output_tokens for read_entry in entries], np.int64),
        _arrival_ns(path, entries, arrival, seed),
        reading.notes(requests),
    )


def records(path: Path) -> Iterator[tuple[str, Record]]:
    """Yield each object of a file, and where it is in words. Raises ConfigError."""
    try:
        if not plain_size(path):
            return
        with path.open("rb") as workload_file:
            first_byte = workload_file.read(1)
            while first_byte.isspace():
                first_byte = workload_file.read(1)
            workload_file.seek(0)
            if first_byte == b"[":
                for number, json_item in enumerate(_items(path, workload_file.read()), 1):
                    record_place = f"{path}, entry {number}"
                    yield record_place, _record(record_place, json_item)
            else:
                for number, json_line in enumerate(workload_file, 1):
                    if json_line.strip():
                        record_place = f"{path}, line {number}"
                        yield record_place, _record(record_place, json_line)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error


def first_exchange(turns: list[Turn]) -> tuple[str, str] | None:
    """Return the first question of a conversation and its answer; None without, or if empty."""
    for first_turn, answer in pairwise(turns):
        if first_turn.speaker in ASKING:
            return (
                (first_turn.value, answer.value)
                if first_turn.value and answer.value
                else None
            )
    return None


def _items(path: Path, array: bytes) -> list[msgspec.Raw]:
    """Return the elements of a JSON array, not yet decoded."""
    try:
        return msgspec.json.decode(array, type=list[msgspec.Raw])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None


_decoder = msgspec.json.Decoder(Record)


def _record(where: str, data: bytes | msgspec.Raw) -> Record:
    """Decode one object; where it cannot be, say what is expected of the field at fault."""
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError as error:
        at_fault = re.search(r"`\$\.(\w+)", str(error))
        if at_fault is None:
            raise ConfigError(
                f"{where} is no JSON object with lengths or a conversation"
            ) from None
        field_name = at_fault[1]
        raise ConfigError(f'{where}: "{field_name}" is no {EXPECTED[field_name]}') from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not JSON: {error}") from None


def _length(where: str, record: Record, names: tuple[str, ...]) -> int:
    length = record.first_of(names)
    if length is None:
        others = ", ".join(names[1:])
        raise ConfigError(
            f'{where} has no "{names[0]}" (or {others}) and no "conversations"'
        )
    return length


def _arrival_ns(path: Path, entries: list[Entry], arrival: Arrivals, seed: int) -> Int64:
    """Return each request's arrival, in ns from the earliest."""
    if entries[0].arrival_s is None:
        return arrival.draw(np.random.default_rng((seed, ARRIVAL_STREAM)), len(entries))
    if arrival != Arrivals():
        raise ConfigError(f"{path} says when its requests arrive: leave --arrival out")
    seconds = np.array([read_entry.arrival_s for read_entry in entries], np.float64)
    return np.rint((seconds - seconds.min()) * 1e9).astype(np.int64)
