"""What a run is asked to do: one field per option of `idlescope run`.

Importing this module costs little, for `idlescope --help` needs it: what reads and draws workloads
waits until it is asked for.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from idlescope.analysis.notebook import shown
from idlescope.errors import ConfigError
from idlescope.experiment.modes import BOTH, Mode
from idlescope.experiment.option import Group, changed, check, flag, option
from idlescope.hardware.latencies import DEFAULT_HOST_PROFILE, HOST_PROFILES

if TYPE_CHECKING:
    from idlescope.engine.running_rows import Shape
    from idlescope.engine.workload import Workload
    from idlescope.models.architecture import Model

OWN_ENGINE, TRANSFORMERS = "idlescope", "transformers"
CLOSED = "closed"  # of --arrival: every request is there at the start
ENGINES = (OWN_ENGINE, TRANSFORMERS)


@dataclass(frozen=True)
class RunConfig:
    """The options of `idlescope run`; checked when made. Raises ConfigError.

    A workload file is read when `demand` is first asked for, and then checked.
    """

    model: str = option(
        "8b",
        group=Group.REQUESTS,
        help="8b, 1b, 3b, 70b, qwen3-0.6b, qwen3-8b or tiny, with random weights; or the folder "
        "of a Hugging Face checkpoint (Llama or Qwen3).",
    )
    engine: str = option(
        OWN_ENGINE,
        group=Group.ENGINE,
        choices=ENGINES,
        help="idlescope, or transformers: its own continuous batching, greedy, on cuda or cpu.",
    )
    device: str = option(
        "auto",
        group=Group.ENGINE,
        help="cuda, cpu, or modelled:GPU with GPU of h200, h100, a100, b200, l40s, rtx4090, "
        "h200-nvl, h100-nvl, h100-pcie, a100-pcie, a100-40gb; auto is cuda where there is one, "
        "else modelled:h200.",
    )
    mode: str = option(
        BOTH,
        group=Group.ENGINE,
        choices=(*Mode, BOTH),
        swept=True,
        help="sync, async or both.",
    )
    tokens: int | str = option(
        1000,
        group=Group.REQUESTS,
        swept=True,
        help="New tokens per request: a number, uniform:LOW,HIGH or lognormal:MEDIAN,SIGMA.",
    )
    prompt_tokens: int | str = option(
        256,
        group=Group.REQUESTS,
        swept=True,
        help="Prompt tokens per request: the same.",
    )
    batch_size: int = option(
        32,
        group=Group.REQUESTS,
        lowest=1,
        help="Requests that run at once.",
    )
    requests: int | None = option(
        None,
        group=Group.REQUESTS,
        lowest=1,
        swept=True,
        help="Requests in all; the batch size, or all of --workload, unless given.",
    )
    arrival: str = option(
        CLOSED,
        group=Group.REQUESTS,
        help="closed (all there at the start), poisson:RATE (requests per second), "
        "burst:SIZE,SECONDS (groups, so far apart) or burst (the batch size, every second).",
    )
    target: str | None = option(
        None,
        group=Group.REQUESTS,
        metavar="LATENCY",
        help="Of requests that arrive: what 99 of 100 may take at most, token:20ms, ttft:500ms or "
        "latency:10s. The highest rate that keeps it is found, in each mode. Only on a modelled "
        "GPU.",
    )
    workload: str | None = option(
        None,
        group=Group.REQUESTS,
        metavar="FILE",
        help='JSONL of lengths, {"prompt_tokens": 512, "output_tokens": 128, "arrival_s": 0.5} '
        "(arrival_s may be missing), or of conversations in ShareGPT's format, or a JSON array of "
        "them; the first --requests of it.",
    )
    max_batch_tokens: int = option(
        8192,
        group=Group.ENGINE,
        lowest=1,
        swept=True,
        help="Query tokens of one step; longer prompts are prefilled in chunks.",
    )
    block_size: int = option(
        16,
        group=Group.ENGINE,
        lowest=1,
        help="Tokens per KV block.",
    )
    kv_blocks: int | None = option(
        None,
        group=Group.ENGINE,
        lowest=1,
        help="KV blocks; as many as fit in the device's memory unless given.",
    )
    host_ms: float | None = option(
        None,
        group=Group.ENGINE,
        lowest=0.0,
        highest=1e6,
        quantity="milliseconds",
        help="Fix the host time per step: a measured host is kept busy for so long.",
    )
    host_profile: str = option(
        DEFAULT_HOST_PROFILE,
        group=Group.ENGINE,
        choices=tuple(HOST_PROFILES),
        swept=True,
        help="What a step costs the host of a modelled GPU, unless --host-ms says it: h200-server, "
        "as measured on a server with an H200, or measured-here, this machine's own work, timed.",
    )
    device_ms: float | None = option(
        None,
        group=Group.ENGINE,
        lowest=1e-6,
        highest=1e6,
        quantity="milliseconds",
        help="Fix the compute time per step. Only on a modelled GPU.",
    )
    stop_at_eos: bool = option(
        False,
        group=Group.REQUESTS,
        help="End a request at the model's EOS.",
    )
    seed: int = option(
        0,
        group=Group.REQUESTS,
        lowest=0,
        swept=True,
        help="Seed of lengths, arrivals, prompts and tokens.",
    )
    # What follows changes nothing on a modelled GPU, whose tokens and times come from a model:
    dtype: str | None = option(
        None,
        group=Group.ENGINE,
        choices=("auto", "bfloat16", "float16", "float32"),
        swept=True,
        help="Of weights and KV cache: auto, bfloat16, float16 or float32; the device's default "
        "unless given. Not on a modelled GPU.",
    )
    graphs: bool = option(
        True,
        group=Group.ENGINE,
        swept=True,
        help="Run decode steps as CUDA graphs. Only on cuda.",
    )
    warmup: int = option(
        8,
        group=Group.MEASUREMENT,
        lowest=0,
        swept=True,
        help="New tokens per request of a first batch that is not timed. Not on a modelled GPU.",
    )
    temperature: float = option(
        0.0,
        group=Group.SAMPLING,
        lowest=0.0,
        highest=100.0,
        help="0 takes the likeliest token.",
    )
    top_k: int = option(
        0,
        group=Group.SAMPLING,
        lowest=0,
        help="Sample among so many likeliest tokens; 0 is all.",
    )
    top_p: float = option(
        1.0,
        group=Group.SAMPLING,
        lowest=1e-6,
        highest=1.0,
        quantity="a probability",
        help="Sample among the likeliest tokens that have this probability together.",
    )
    sync_check: str = option(
        "off",
        group=Group.MEASUREMENT,
        choices=("off", "warn", "error"),
        help="What a call does that makes the host wait for the GPU where it should not: off, "
        "warn or error. Only on cuda.",
    )
    profile: str | None = option(
        None,
        group=Group.MEASUREMENT,
        metavar="TOOL[:STEPS]",
        help="Record some steps of each mode with torch (torch.profiler) or nsys: 20 of them "
        "after the start, or so many (torch:50), or these (torch:100-120). Not on a modelled GPU.",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.max_batch_tokens < self.batch_size:
            raise ConfigError(
                f"--max-batch-tokens {self.max_batch_tokens} is less than --batch-size "
                f"{self.batch_size}: every running request needs one token per step"
            )
        if self.profile is not None:
            from idlescope.capture.window import ProfiledSteps

            ProfiledSteps.parse(self.profile)
        if self.target is not None:
            from idlescope.experiment.target import Target

            Target.parse(self.target)
        self._check_lengths()

    def _check_lengths(self) -> None:
        """Check the lengths and the arrivals of requests. Raises ConfigError."""
        from idlescope.engine.workload import arrivals, lengths

        prompt = lengths("--prompt-tokens", self.prompt_tokens)
        output = lengths("--tokens", self.tokens)
        arrivals(self.arrival, self.batch_size)
        if self.workload is not None:
            for length_name in ("prompt_tokens", "tokens"):
                if getattr(self, length_name) != getattr(RunConfig, length_name):
                    raise ConfigError(
                        f"--workload says how long requests are: leave {flag(length_name)} out"
                    )
        elif prompt.least + output.least > self.architecture.max_position:
            raise ConfigError(
                f"{self.prompt_tokens} prompt and {self.tokens} new tokens exceed the "
                f"{self.architecture.max_position} positions of {self.architecture.name}: ask for "
                "fewer"
            )

    def _repr_html_(self) -> str:
        """Return the options that are set, for notebooks."""
        options = [
            (name, str(value)) for name, value in asdict(self).items() if value is not None
        ]
        return shown("Options of a run", ("option", "value"), options)

    @cached_property
    def demand(self) -> Workload:
        """Return the requests' lengths and arrivals, drawn or read when first asked for.

        Raises ConfigError.
        """
        demand = (
            self._generated() if self.workload is None else self._read(Path(self.workload))
        )
        if self.target is not None and not demand.open:
            raise ConfigError(
                "--target is for requests that arrive during the run: give --arrival poisson:RATE"
            )
        if self.kv_blocks is None:
            return demand
        tokens_held = self.kv_blocks * self.block_size
        if tokens_held < demand.longest:
            raise ConfigError(
                f"--kv-blocks {self.kv_blocks} hold {tokens_held} tokens and a request needs "
                f"{demand.longest}: give more, or ask for fewer tokens"
            )
        return demand

    def _generated(self) -> Workload:
        from idlescope.engine.workload import arrivals, generate, lengths

        return generate(
            self.requests or self.batch_size,
            lengths("--prompt-tokens", self.prompt_tokens),
            lengths("--tokens", self.tokens),
            arrivals(self.arrival, self.batch_size),
            self.architecture.max_position,
            self.seed,
        )

    def _read(self, path: Path) -> Workload:
        """Return the workload of a file.

        Texts in it are counted by the checkpoint's tokenizer where there is one.
        """
        from idlescope.engine import workload_file
        from idlescope.engine.network.tokenizer import tokenizer
        from idlescope.engine.workload import arrivals

        architecture = self.architecture
        text_tokenizer = (
            None if architecture.folder is None else tokenizer(architecture.folder)
        )
        return workload_file.read(
            path,
            self.requests,
            arrivals(self.arrival, self.batch_size),
            architecture.max_position,
            self.seed,
            None if text_tokenizer is None else text_tokenizer.encode,
        )

    @property
    def architecture(self) -> Model:
        """Return the model's shape."""
        from idlescope.models.presets import model

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
        """Return the words of `idlescope run` that repeat this: the model, and what was changed."""
        others = [
            (option_name, option_value)
            for option_name, option_value in changed(self)
            if option_name != "model"
        ]
        command_words = []
        for option_name, option_value in [("model", self.model), *others]:
            command_words.append(
                flag(f"no_{option_name}" if option_value is False else option_name)
            )
            if not isinstance(option_value, bool):
                command_words.append(str(option_value))
        return command_words

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Return the modes to run, in order."""
        return tuple(Mode) if self.mode == BOTH else (Mode(self.mode),)

    def shape(self, blocks: int) -> Shape:
        """Return the sizes of the run's arrays for a KV cache of so many blocks."""
        from idlescope.engine.running_rows import Shape

        return Shape(self.rows, self.max_batch_tokens, self.length, blocks, self.block_size)
