"""The workload: how many requests, how long their prompts and outputs are, and when they arrive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope.engine.requests import Request
from idlescope.errors import ConfigError
from idlescope.trace.table import Float64, Int64

MOST_TOKENS = 10**9  # of a length: beyond any model's positions, and safe in arithmetic
MOST_SIGMA = 10
MOST_RATE = 1e9  # requests per second: one per nanosecond, the unit of arrivals
MOST_SECONDS = (
    1e3  # between two arrivals: a million of them are still within int64 nanoseconds
)
# Streams of random numbers of one seed, beside the prompts' own: a change of one leaves the others.
PROMPT_STREAM, OUTPUT_STREAM, ARRIVAL_STREAM = 1, 2, 3


@dataclass(frozen=True)
class Lengths:
    """Numbers of tokens: uniform over low … high, or log-normal where `sigma` is given.

    A log-normal length is exp(X) rounded, X normal with mean ln(median) and standard deviation
    sigma, as numpy's Generator.lognormal has them: half of the lengths are below the median, their
    mean is median * exp(sigma**2 / 2).
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
            return random.integers(self.low, self.high, count, endpoint=True).astype(
                np.float64
            )
        return np.rint(random.lognormal(np.log(self.low), self.sigma, count))


def lengths(option: str, text: int | str) -> Lengths:
    """Read `512`, `uniform:LOW,HIGH` or `lognormal:MEDIAN,SIGMA`.

    Raises ConfigError naming the option.
    """
    try:
        parsed = _parse_lengths(str(text))
    except ValueError:
        raise ConfigError(
            f"{option} is {text!r}: give a number, uniform:LOW,HIGH or lognormal:MEDIAN,SIGMA, "
            "in tokens"
        ) from None
    if parsed.low < 1:
        raise ConfigError(f"{option} is {text}: give at least 1")
    if not parsed.low <= parsed.high <= MOST_TOKENS:
        raise ConfigError(
            f"{option} is {text}: give LOW first, and at most {MOST_TOKENS} tokens"
        )
    if parsed.sigma is not None and not 0 <= parsed.sigma <= MOST_SIGMA:
        raise ConfigError(
            f"{option} is {text}: give a SIGMA from 0 to {MOST_SIGMA}, the standard deviation of "
            "ln(tokens)"
        )
    return parsed


def _parse_lengths(text: str) -> Lengths:
    """Return what a text says, unchecked. Raises ValueError where it says nothing."""
    length_kind, _, values = text.partition(":")
    if length_kind == "lognormal":
        median, sigma = values.split(",")
        return Lengths(int(median), MOST_TOKENS, float(sigma))
    if length_kind == "uniform":
        shortest, longest = values.split(",")
        return Lengths(int(shortest), int(longest))
    return Lengths(int(text), int(text))


@dataclass(frozen=True)
class Arrivals:
    """When requests arrive.

    A Poisson process of `rate` requests per second, or `size` at a time, `seconds` apart.
    """

    rate: float | None = None
    size: int = 1
    seconds: float = 0.0

    def draw(self, random: np.random.Generator, count: int) -> Int64:
        """Return the arrivals of so many requests, ascending, in ns from the first one's."""
        if self.rate is None:
            return np.arange(count) // self.size * round(self.seconds * 1e9)
        arrival_gaps = random.exponential(1e9 / self.rate, count - 1)
        return np.concatenate(([0], np.rint(np.cumsum(arrival_gaps)).astype(np.int64)))


def arrivals(text: str, batch_size: int) -> Arrivals:
    """Read `closed`, `burst`, `burst:SIZE,SECONDS` or `poisson:RATE`.

    A bare `burst` is one of the batch size every second. Raises ConfigError.
    """
    try:
        parsed = _parse_arrivals(text, batch_size)
    except ValueError:
        raise ConfigError(
            f"--arrival is {text!r}: give closed, burst, burst:SIZE,SECONDS or poisson:RATE"
        ) from None
    if parsed.rate is not None and not 1 / MOST_SECONDS <= parsed.rate <= MOST_RATE:
        raise ConfigError(
            f"--arrival is {text}: give a RATE from {1 / MOST_SECONDS:g} to 1e9 requests per second"
        )
    if parsed.size < 1 or not 0 <= parsed.seconds <= MOST_SECONDS:
        raise ConfigError(
            f"--arrival is {text}: give a SIZE of at least 1, and SECONDS from 0 to "
            f"{MOST_SECONDS:g}"
        )
    return parsed


def _parse_arrivals(text: str, batch_size: int) -> Arrivals:
    """Return what a text says, unchecked. Raises ValueError where it says nothing."""
    if text == "closed":
        return Arrivals()
    if text == "burst":
        return Arrivals(size=batch_size, seconds=1.0)
    arrival_kind, _, values = text.partition(":")
    if arrival_kind == "burst":
        burst_size, seconds = values.split(",")
        return Arrivals(size=int(burst_size), seconds=float(seconds))
    if arrival_kind == "poisson":
        return Arrivals(rate=float(values))
    raise ValueError(arrival_kind)


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
    def token_steps_cached(self) -> float:
        """Return the tokens in the KV cache, summed over all decode steps."""
        usual_context = self.prompt_tokens + self.output_tokens / 2.0
        return float((self.output_tokens * usual_context).sum())

    @property
    def open(self) -> bool:
        """Return whether requests arrive while the run goes on."""
        return bool(self.arrival_ns.any())

    def requests(
        self, vocab: int, seed: int, stop_ids: tuple[int, ...] = ()
    ) -> list[Request]:
        """Return the requests, not yet begun, with seeded random prompts."""
        prompt_end = np.cumsum(self.prompt_tokens)
        tokens = np.random.default_rng(seed).integers(
            0, vocab, int(prompt_end[-1]), np.int32
        )
        prompts = np.split(tokens, prompt_end[:-1])
        max_tokens = self.output_tokens.tolist()
        arrival_ns = self.arrival_ns.tolist()
        return [
            Request(
                request_index,
                prompts[request_index],
                max_tokens[request_index],
                stop_ids,
                arrival_ns[request_index],
            )
            for request_index in range(len(self))
        ]


def generate(
    count: int,
    prompt: Lengths,
    output: Lengths,
    arrival: Arrivals,
    positions: int,
    seed: int,
) -> Workload:
    """Draw a workload of so many requests.

    Lengths are clipped so that each request has a token of both and fits a model's positions. The
    output is clipped first, then the prompt to what it leaves: a fixed number stays as it is, where
    it fits.
    """
    streams = (PROMPT_STREAM, OUTPUT_STREAM, ARRIVAL_STREAM)
    random = {stream: np.random.default_rng((seed, stream)) for stream in streams}
    drawn_output = output.draw(random[OUTPUT_STREAM], count)
    output_tokens = np.clip(drawn_output, 1, positions - prompt.least).astype(np.int64)
    drawn_prompt = prompt.draw(random[PROMPT_STREAM], count)
    prompt_tokens = np.clip(drawn_prompt, 1, positions - output_tokens).astype(np.int64)
    return Workload(
        prompt_tokens, output_tokens, arrival.draw(random[ARRIVAL_STREAM], count)
    )
