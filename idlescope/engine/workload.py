"""The workload: how many requests, how long their prompts and outputs are, and when they arrive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope.engine.requests import Request
from idlescope.errors import ConfigError
from idlescope.trace.table import Float64, Int64

MOST_TOKENS = 10**9  # of a length: beyond any model's positions, and safe in arithmetic
MOST_SECONDS = 1e3  # between two arrivals: a million of them are still within int64 nanoseconds
# Streams of random numbers of one seed, beside the prompts' own: a change of one leaves the others as they are.
PROMPT_STREAM, OUTPUT_STREAM, ARRIVAL_STREAM = 1, 2, 3


@dataclass(frozen=True)
class Lengths:
    """Numbers of tokens: uniform over the integers low … high, or log-normal where `sigma` is given.

    A log-normal length is exp(X) rounded, X normal with mean ln(median) and standard deviation sigma, as numpy's
    Generator.lognormal has them: half of the lengths are below the median, their mean is median * exp(sigma**2 / 2).
    """

    low: int
    high: int
    sigma: float | None = None  # `low` is the median then

    @property
    def least(self) -> int:
        """Return the shortest length that the distribution gives."""
        return self.low if self.sigma is None else 1

    def draw(self, random: np.random.Generator, count: int) -> Float64:
        """Return so many lengths, whole numbers, not clipped."""
        if self.sigma is None:
            return random.integers(self.low, self.high, count, endpoint=True).astype(np.float64)
        return np.rint(random.lognormal(np.log(self.low), self.sigma, count))


def lengths(option: str, text: int | str) -> Lengths:
    """Read `512`, `uniform:LOW,HIGH` or `lognormal:MEDIAN,SIGMA`. Raises ConfigError naming the option."""
    kind, _, values = str(text).partition(":")
    try:
        if kind == "lognormal":
            median, spread = values.split(",")
            low, high, sigma = int(median), MOST_TOKENS, float(spread)
        elif kind == "uniform":
            low, high = map(int, values.split(","))
            sigma = None
        else:
            low = high = int(text)
            sigma = None
    except ValueError:
        raise ConfigError(
            f"{option} is {text!r}: give a number, uniform:LOW,HIGH or lognormal:MEDIAN,SIGMA, in tokens"
        ) from None
    if low < 1:
        raise ConfigError(f"{option} is {text}: give at least 1")
    if not low <= high <= MOST_TOKENS:
        raise ConfigError(f"{option} is {text}: give LOW first, and at most {MOST_TOKENS} tokens")
    if sigma is not None and not 0 <= sigma <= 10:
        raise ConfigError(
            f"{option} is {text}: give a SIGMA from 0 to 10, the standard deviation of ln(tokens)"
        )
    return Lengths(low, high, sigma)


@dataclass(frozen=True)
class Arrivals:
    """When requests arrive: a Poisson process of `rate` requests a second, or `size` at a time, `seconds` apart."""

    rate: float | None = None
    size: int = 1
    seconds: float = 0.0

    def draw(self, random: np.random.Generator, count: int) -> Int64:
        """Return the arrival of each of so many requests, ns from the start, ascending; the first is at 0."""
        if self.rate is None:
            return np.arange(count) // self.size * round(self.seconds * 1e9)
        gaps = random.exponential(1e9 / self.rate, count - 1)
        return np.concatenate(([0], np.rint(np.cumsum(gaps)).astype(np.int64)))


def arrivals(text: str, batch_size: int) -> Arrivals:
    """Read `closed`, `burst`, `burst:SIZE,SECONDS` or `poisson:RATE`. Raises ConfigError.

    A bare `burst` is one of the batch size every second.
    """
    kind, _, values = text.partition(":")
    try:
        if text == "closed":
            return Arrivals()
        if text == "burst":
            return Arrivals(size=batch_size, seconds=1.0)
        if kind == "burst":
            size, seconds = values.split(",")
            read = Arrivals(size=int(size), seconds=float(seconds))
        elif kind == "poisson":
            read = Arrivals(rate=float(values))
        else:
            raise ValueError(kind)
    except ValueError:
        raise ConfigError(
            f"--arrival is {text!r}: give closed, burst, burst:SIZE,SECONDS or poisson:RATE"
        ) from None
    if read.rate is not None and not 1 / MOST_SECONDS <= read.rate <= 1e9:
        raise ConfigError(
            f"--arrival is {text}: give a RATE from {1 / MOST_SECONDS:g} to 1e9 requests a second"
        )
    if read.size < 1 or not 0 <= read.seconds <= MOST_SECONDS:
        raise ConfigError(
            f"--arrival is {text}: give a SIZE of at least 1, and SECONDS from 0 to {MOST_SECONDS:g}"
        )
    return read


@dataclass(frozen=True, eq=False)
class Workload:
    """Every request's lengths and arrival; arrays over requests."""

    prompt_tokens: Int64
    output_tokens: Int64  # at the most: a stop token may end a request sooner
    arrival_ns: Int64
    notes: tuple[str, ...] = ()  # what the reader of the run's figures should know

    def __len__(self) -> int:
        return self.prompt_tokens.size

    @property
    def longest(self) -> int:
        """Return the tokens of the longest request, prompt and output."""
        return int((self.prompt_tokens + self.output_tokens).max())

    @property
    def open(self) -> bool:
        """Return whether requests arrive while the run goes on."""
        return bool(self.arrival_ns.any())

    def requests(self, vocab: int, seed: int, stop_ids: tuple[int, ...] = ()) -> list[Request]:
        """Return the requests, not yet begun, with seeded random prompts."""
        ends = np.cumsum(self.prompt_tokens)
        tokens = np.random.default_rng(seed).integers(0, vocab, int(ends[-1]), np.int32)
        columns = (
            np.split(tokens, ends[:-1]),
            self.output_tokens.tolist(),
            self.arrival_ns.tolist(),
        )
        return [
            Request(i, p, n, stop_ids, at)
            for i, (p, n, at) in enumerate(zip(*columns, strict=True))
        ]


def generate(
    count: int, prompt: Lengths, output: Lengths, arrival: Arrivals, positions: int, seed: int
) -> Workload:
    """Draw a workload. Lengths are clipped so that each request has a token of both and fits a model's positions.

    The output is clipped first, then the prompt to what it leaves: a fixed number stays as it is, where it fits.
    """
    prompt_random, output_random, arrival_random = (
        np.random.default_rng((seed, stream))
        for stream in (PROMPT_STREAM, OUTPUT_STREAM, ARRIVAL_STREAM)
    )
    outputs = np.clip(output.draw(output_random, count), 1, positions - prompt.least).astype(
        np.int64
    )
    prompts = np.clip(prompt.draw(prompt_random, count), 1, positions - outputs).astype(np.int64)
    return Workload(prompts, outputs, arrival.draw(arrival_random, count))
