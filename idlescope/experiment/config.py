"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from idlescope.capture.window import ProfiledSteps
from idlescope.engine import workload_file
from idlescope.engine.network.tokenizer import tokenizer
from idlescope.engine.running_rows import Shape
from idlescope.engine.workload import Workload, arrivals, generate, lengths
from idlescope.errors import ConfigError
from idlescope.models.architecture import Model
from idlescope.models.presets import model
from idlescope.trace.names.own_engine import DEPTHS

MODES = (*DEPTHS, "both")
ENGINES = ("idlescope", "transformers")
CHOICES = {
    "engine": ENGINES,
    "mode": MODES, "dtype": ("auto", "bfloat16", "float16", "float32"), "sync_check": ("off", "warn", "error"),
}  # fmt: skip
LEAST = {
    "batch_size": 1, "requests": 1, "max_batch_tokens": 1, "block_size": 1, "kv_blocks": 1, "seed": 0, "warmup": 0,
    "top_k": 0,
}  # fmt: skip
BOUNDS = {
    "host_ms": (0.0, 1e6, "milliseconds"),
    "device_ms": (1e-6, 1e6, "milliseconds"),
    "temperature": (0.0, 100.0, "a number"),
    "top_p": (1e-6, 1.0, "a probability"),
}


@dataclass(frozen=True)
class RunConfig:
    """The options of `idlescope run`; checked when made. Raises ConfigError.

    A workload file is read when `demand` is first asked for, and then checked.
    """

    model: str = "8b"
    engine: str = "idlescope"  # or transformers: its continuous batching (capture/transformers.py)
    device: str = "auto"
    mode: str = "both"
    tokens: int | str = (
        1000  # new tokens a request: a number or a distribution (engine/workload.py)
    )
    prompt_tokens: int | str = 256  # the same
    batch_size: int = 32  # requests that run at once
    requests: int | None = (
        None  # in all; the batch size unless given, or as many as the workload file has
    )
    arrival: str = "closed"  # closed, burst, burst:SIZE,SECONDS or poisson:RATE
    workload: str | None = (
        None  # a file of lengths or conversations, instead of tokens and prompt_tokens
    )
    max_batch_tokens: int = 8192  # query tokens of one step: longer prompts are prefilled in chunks
    block_size: int = 16  # tokens a KV block
    kv_blocks: int | None = None  # as many as fit in the device's memory unless given
    host_ms: float | None = None  # fixed host cost of a step
    device_ms: float | None = None  # fixed compute time of a step
    stop_at_eos: bool = False
    seed: int = 0
    # What follows changes nothing on a modelled GPU, whose tokens and times come from a model:
    dtype: str | None = None  # of weights and KV cache; the device's default unless given
    graphs: bool = True  # decode steps are CUDA graphs
    warmup: int = (
        8  # new tokens of each request of a first batch, which is not timed, on a measured device
    )
    temperature: float = 0.0  # 0 is greedy
    top_k: int = 0  # sample among so many likeliest tokens; 0 is all
    top_p: float = 1.0  # sample among the likeliest tokens that have this probability together
    sync_check: str = (
        "off"  # what a call that makes the host wait for the device does: off, warn or error
    )
    profile: str | None = None  # torch or nsys, with :STEPS or :FIRST-LAST (capture/profiler.py)

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                what = name.replace("_", " ")
                raise ConfigError(
                    f"no {what} is called {value!r}: choose one of {', '.join(choices)}"
                )
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"--{name.replace('_', '-')} is {value}: give at least {least}")
        for name, (low, high, what) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(
                    f"--{name.replace('_', '-')} is {value}: give {what} from {low:g} to {high:.0f}"
                )
        if self.max_batch_tokens < self.batch_size:
            raise ConfigError(
                f"--max-batch-tokens {self.max_batch_tokens} is less than --batch-size {self.batch_size}: "
                "every running request needs one token a step"
            )
        if self.profile is not None:
            ProfiledSteps.parse(self.profile)
        self._check_workload()

    def _check_workload(self) -> None:
        prompt, output = (
            lengths(f"--{name.replace('_', '-')}", getattr(self, name))
            for name in ("prompt_tokens", "tokens")
        )
        arrivals(self.arrival, self.batch_size)
        if self.workload is not None:
            for name in ("prompt_tokens", "tokens"):
                if getattr(self, name) != getattr(RunConfig, name):
                    raise ConfigError(
                        f"--workload says how long requests are: leave --{name.replace('_', '-')} out"
                    )
        elif prompt.least + output.least > self.architecture.max_position:
            raise ConfigError(
                f"{self.prompt_tokens} prompt and {self.tokens} new tokens exceed the {self.architecture.max_position} "
                f"positions of {self.architecture.name}: ask for fewer"
            )

    @cached_property
    def demand(self) -> Workload:
        """Return the requests' lengths and arrivals, drawn or read when first asked for. Raises ConfigError."""
        positions = self.architecture.max_position
        arrival = arrivals(self.arrival, self.batch_size)
        if self.workload is not None:
            folder = self.architecture.folder
            words = None if folder is None else tokenizer(folder)
            count = None if words is None else words.encode
            demand = workload_file.read(
                Path(self.workload), self.requests, arrival, positions, self.seed, count
            )
        else:
            prompt, output = (lengths("", text) for text in (self.prompt_tokens, self.tokens))
            demand = generate(
                self.requests or self.batch_size, prompt, output, arrival, positions, self.seed
            )
        if self.kv_blocks is not None and self.kv_blocks * self.block_size < demand.longest:
            raise ConfigError(
                f"--kv-blocks {self.kv_blocks} hold {self.kv_blocks * self.block_size} tokens and a request needs "
                f"{demand.longest}: give more, or ask for fewer tokens"
            )
        return demand

    @property
    def architecture(self) -> Model:
        """Return the model's shape."""
        return model(self.model)

    @property
    def length(self) -> int:
        """Return the tokens of the longest request, prompt and output."""
        return self.demand.longest

    @property
    def request_count(self) -> int:
        """Return how many requests there are."""
        return len(self.demand)

    @property
    def rows(self) -> int:
        """Return how many requests can run at once."""
        return min(self.batch_size, self.request_count)

    def words(self) -> list[str]:
        """Return the options of `idlescope run` that repeat this: the model, and all that are not the default."""
        words = []
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name != "model" and value == option.default:
                continue
            words.append(f"--{'no-' if value is False else ''}{option.name.replace('_', '-')}")
            if not isinstance(value, bool):
                words.append(str(value))
        return words

    @property
    def modes(self) -> tuple[str, ...]:
        """Return the modes to run, in order."""
        return tuple(DEPTHS) if self.mode == "both" else (self.mode,)

    def shape(self, blocks: int) -> Shape:
        """Return the sizes of the run's arrays for a KV cache of so many blocks."""
        return Shape(self.rows, self.max_batch_tokens, self.length, blocks, self.block_size)
