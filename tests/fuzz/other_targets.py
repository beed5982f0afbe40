"""Readers of everything that is no trace: rules, workloads, checkpoints, cells, analyses, options."""

from __future__ import annotations

import json
import random as standard_random
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from idlescope.analysis.analyze import analyze
from idlescope.analysis.comparison import read as comparison
from idlescope.analysis.comparison.change import Side
from idlescope.analysis.comparison.compare import of_sides
from idlescope.analysis.comparison.limits import Limits
from idlescope.analysis.steps import window
from idlescope.capture.window import ProfiledSteps
from idlescope.engine import workload_file
from idlescope.engine.workload import Arrivals, arrivals, lengths
from idlescope.experiment import answers
from idlescope.experiment.cells import Cell, CellState, keep, kept, place
from idlescope.experiment.config import RunConfig
from idlescope.experiment.sweep import measure
from idlescope.models import hugging_face
from idlescope.report.text import to_text
from idlescope.trace import unprofiled
from idlescope.trace.names import span_names, user_file
from tests.fuzz import mutate
from tests.fuzz.cases import ONLY_FILE, Files, Target
from tests.fuzz.trace_targets import kineto_document
from tests.make.checkpoints import LLAMA3_ROPE, SMALL

RULES = {
    "mine": [["^step", "step"], ["(?i)^prep(are)?", "prepare"], ["a+b*", "sample"]],
    "_note": "mine",
}
PIECES = (
    "(",
    ")",
    "[",
    "]",
    "*",
    "+",
    "?",
    "{3}",
    "{9999999999}",
    "(?i)",
    "(?P<n>a)",
    "\\1",
    "|",
    "^",
    "$",
    "\\",
    "(?<=a*)",
)
NAMES = ("step 1", "prepare", "aab", "a" * 25 + "!", "", "\u202e")
LINES = [
    {"prompt_tokens": 5, "output_tokens": 3, "arrival_s": 0.5},
    {"prompt_tokens": 8, "output_tokens": 2, "arrival_s": 1.0},
]
TALKS = [
    {
        "id": "a",
        "conversations": [
            {"from": "human", "value": "hello there"},
            {"from": "gpt", "value": "hello"},
        ],
    }
] * 2
CHECKPOINT = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 1e4,
    "eos_token_id": 2, "tie_word_embeddings": False, "torch_dtype": "float32", "rope_scaling": LLAMA3_ROPE, **SMALL,
}  # fmt: skip
OPTIONS = {
    "window": ["first-last", "range:step", "steps:3-9", "time:200ms-350ms"],
    "length": ["5us", "3.5ms", "1s"],
    "profile": ["torch", "torch:20", "nsys:5-30"],
    "lengths": ["100", "uniform:5,9", "lognormal:50,0.5"],
    "arrivals": ["closed", "poisson:3.5", "burst:8,1", "burst"],
    "limit": ["5%", "5", "1e3", "0.1"],
}
CONFIG = RunConfig(
    model="tiny",
    device="modelled:h200",
    tokens=4,
    prompt_tokens=4,
    batch_size=2,
    host_ms=1.0,
)


def _text(text: str, random: Random) -> str:
    changed = mutate.of_bytes(text.encode(), random).decode("utf-8", "replace")
    return changed if random.random() < 0.8 else random.choice(mutate.TEXTS) + text


def phases(random: Random) -> Files:
    """Return a file of --phases: values changed, or pieces of regular expressions put in."""
    rules = json.loads(json.dumps(RULES))
    if random.random() < 0.5:
        rule = random.choice(rules["mine"])
        place = random.randrange(len(rule[0]) + 1)
        rule[0] = rule[0][:place] + random.choice(PIECES) + rule[0][place:]
        return {ONLY_FILE: mutate.encoded(rules)}
    return {
        ONLY_FILE: mutate.of_bytes(mutate.encoded(mutate.of_json(rules, random)), random)
    }


def read_phases(path: Path) -> None:
    """Read rules and match them with some names."""
    engines = user_file.load(path)
    span_names.recognise(NAMES, range(len(NAMES)), engines)


def workload(random: Random) -> Files:
    """Return a workload in one of its forms."""
    form = random.randrange(3)
    if form == 0:
        lines = [
            mutate.encoded(mutate.of_json(line, random) if random.random() < 0.7 else line)
            for line in LINES
        ]
        return {ONLY_FILE: b"\n".join(lines)}
    content = mutate.encoded(mutate.of_json(TALKS, random))
    return {ONLY_FILE: content if form == 1 else mutate.of_bytes(content, random)}


def read_workload(path: Path) -> None:
    """Read a workload of lengths, as a run does."""
    workload_file.read(path, None, Arrivals(), 4096, 0)


def checkpoint(random: Random) -> Files:
    """Return the documents of a checkpoint."""
    generation = {"eos_token_id": [2, 3], "do_sample": True}
    return {
        "config.json": mutate.encoded(mutate.of_json(CHECKPOINT, random)),
        "generation_config.json": mutate.encoded(mutate.of_json(generation, random)),
    }


@cache
def _cell() -> dict[str, Any]:
    cell = measure(CONFIG)
    return {"schema": 1, **json.loads(json.dumps(asdict(cell)))}


def cell(random: Random) -> Files:
    """Return a kept cell of a sweep."""
    content = mutate.encoded(mutate.of_json(_cell(), random))
    return {"cell": content if random.random() < 0.8 else mutate.of_bytes(content, random)}


def read_cell(path: Path) -> None:
    """Take a cell up again, and make the rows of the sweep's table of it."""
    (path / "cell").rename(place(CONFIG, path))
    found = kept(CONFIG, path)
    if found is not None:
        answers.answers(answers.rows((found,)))
        keep(found, path / "again.json")
        assert found == Cell(CONFIG, CellState.DONE, None, found.summary)


@cache
def _analysis() -> Any:
    import tempfile

    from idlescope.trace.open import open_trace
    from tests.fuzz.trace_targets import recording  # a trace in memory is enough

    with tempfile.TemporaryDirectory() as folder:
        for name, content in recording().items():
            (Path(folder) / name).write_bytes(content)
        return json.loads(to_text(analyze(open_trace(Path(folder))).to_json()))


def analysis(random: Random) -> Files:
    """Return an analysis.json."""
    document = mutate.of_json(_analysis(), random)
    return {ONLY_FILE: mutate.encoded(document)}


def read_analysis(path: Path) -> None:
    """Compare an analysis with itself."""
    side = comparison.read(path)
    of_sides(Side("A", (side,)), Side("B", (side,)), None)


def notes(random: Random) -> Files:
    """Return what capture noted beside a trace."""
    entry = {
        "traces": ["t.json"],
        "step_ms": 5.0,
        "low_ms": 4.0,
        "high_ms": 6.0,
        "method": "counted",
        "counters": {"a": 1.0},
    }
    document = {"schema": 1, "captures": [entry]}
    return {
        unprofiled.FILE: mutate.encoded(mutate.of_json(document, random)),
        "t.json": mutate.encoded(kineto_document()),
    }


def read_notes(path: Path) -> None:
    """Analyse a trace beside which something is noted."""
    from idlescope.trace.open import open_trace

    to_text(analyze(open_trace(path / "t.json")).to_json())


def options(random: Random) -> Files:
    """Return the options of commands, as text."""
    kind = random.choice(list(OPTIONS))
    config = {field.name: getattr(CONFIG, field.name) for field in fields(CONFIG)}
    return {
        ONLY_FILE: json.dumps(
            {
                "kind": kind,
                "text": _text(random.choice(OPTIONS[kind]), random),
                "config": mutate.of_json(config, random),
            }
        ).encode()
    }


def read_options(path: Path) -> None:
    """Parse an option, and make the configuration of a run."""
    given = json.loads(path.read_bytes())
    text = given["text"]
    parse = {
        "window": window.parse, "length": lambda text: window.length_ns(text, "--min-gap"), "profile": ProfiledSteps.parse,
        "lengths": lambda text: lengths("tokens", text).draw(_generator(), 3),
        "arrivals": lambda text: arrivals(text, 4).draw(_generator(), 3),
        "limit": lambda text: Limits.of(max_idle=text),
    }  # fmt: skip
    parse[given["kind"]](text)
    config = given["config"]
    if isinstance(config, dict) and config.keys() <= {
        field.name for field in fields(CONFIG)
    }:
        typed = {
            name: value
            for name, value in config.items()
            if isinstance(value, type(getattr(CONFIG, name)))
        }
        RunConfig(**typed)


def _generator() -> Any:
    import numpy as np

    return np.random.default_rng(standard_random.Random(0).randrange(9))


TARGETS = (
    Target("phases", ".json", phases, read_phases),
    Target("workload", ".jsonl", workload, read_workload),
    Target("checkpoint", "", checkpoint, lambda path: hugging_face.read(path) and None),
    Target("cell", "", cell, read_cell),
    Target("analysis", ".json", analysis, read_analysis),
    Target("notes", "", notes, read_notes),
    Target("options", ".json", options, read_options),
)
