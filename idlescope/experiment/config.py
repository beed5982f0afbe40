"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from idlescope.engine.loop import DEPTHS
from idlescope.engine.models import Model, model
from idlescope.engine.rows import Shape
from idlescope.errors import ConfigError

MODES = (*DEPTHS, "both")


@dataclass(frozen=True)
class RunConfig:
    """The options of `idlescope run`; checked when made. Raises ConfigError."""

    model: str = "8b"
    device: str = "auto"
    mode: str = "both"
    tokens: int = 1000  # new tokens a request
    prompt_tokens: int = 256
    batch_size: int = 32  # requests that run at once
    requests: int | None = None  # in all; the batch size unless given
    max_batch_tokens: int = 8192  # query tokens of one step: longer prompts are prefilled in chunks
    block_size: int = 16  # tokens a KV block
    kv_blocks: int | None = None  # as many as fit in the device's memory unless given
    host_ms: float | None = None  # fixed host cost of a step
    device_ms: float | None = None  # fixed compute time of a step
    stop_at_eos: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        model(self.model)
        if self.mode not in MODES:
            raise ConfigError(f"no mode is called {self.mode!r}: choose one of {', '.join(MODES)}")
        for name in (
            "tokens",
            "prompt_tokens",
            "batch_size",
            "requests",
            "max_batch_tokens",
            "block_size",
            "kv_blocks",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} is {value}: give at least 1")
        for name, least in (("host_ms", 0.0), ("device_ms", 1e-6)):
            value = getattr(self, name)
            if value is not None and not least <= value <= 1e6:
                raise ConfigError(f"--{name.replace('_', '-')} is {value}: give milliseconds from {least:g} to 1000000")
        if self.seed < 0:
            raise ConfigError(f"--seed is {self.seed}: give 0 or more")
        if self.max_batch_tokens < self.batch_size:
            raise ConfigError(
                f"--max-batch-tokens {self.max_batch_tokens} is less than --batch-size {self.batch_size}: "
                "every running request needs one token a step"
            )
        if self.kv_blocks is not None and self.kv_blocks * self.block_size < self.length:
            raise ConfigError(
                f"--kv-blocks {self.kv_blocks} hold {self.kv_blocks * self.block_size} tokens and a request needs "
                f"{self.length}: give more, or ask for fewer tokens"
            )
        if self.length > self.architecture.max_position:
            raise ConfigError(
                f"{self.prompt_tokens} prompt and {self.tokens} new tokens exceed the {self.architecture.max_position} "
                f"positions of {self.architecture.name}: ask for fewer"
            )

    @property
    def architecture(self) -> Model:
        """Return the model's shape."""
        return model(self.model)

    @property
    def length(self) -> int:
        """Return the tokens of one request, prompt and output."""
        return self.prompt_tokens + self.tokens

    @property
    def request_count(self) -> int:
        """Return how many requests there are."""
        return self.requests or self.batch_size

    @property
    def rows(self) -> int:
        """Return how many requests can run at once."""
        return min(self.batch_size, self.request_count)

    @property
    def modes(self) -> tuple[str, ...]:
        """Return the modes to run, in order."""
        return tuple(DEPTHS) if self.mode == "both" else (self.mode,)

    def shape(self, blocks: int) -> Shape:
        """Return the sizes of the run's arrays for a KV cache of so many blocks."""
        return Shape(self.rows, self.max_batch_tokens, self.length, blocks, self.block_size)
