"""What the host side of a decode step costs: our engine against transformers' batching.

    pip install -e '.[bench]'            # torch and transformers
    python tests/benchmarks/host_step.py

Both sides run in this process on one thread, by turns, with the same requests; medians over steady
decode steps. idlescope: schedule + prepare + retrieve (its wait apart) + update, block tables,
positions, stop conditions and the emit hook included. transformers: prepare_next_batch +
update_batch of its batch processor, synchronous, on the CPU, with a toy model, whose forward pass
is not counted. On either side the cost of submitting to a device is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np

from idlescope import RunConfig
from idlescope.engine.devices.modelled import ModelledDevice
from idlescope.experiment.run_own import run_mode
from idlescope.hardware.gpus import gpu

PROMPT, TOKENS, SKIPPED = 16, 64, 8
OUR_TOKENS = 512  # our steps are short: more of them for the same time
TOY = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 128,
    "vocab_size": 512,
    "max_position_embeddings": 16384,
}


def ours_us(batch: int) -> float:
    """Median host microseconds of a steady decode step of our engine, stop ids checked."""
    config = RunConfig(
        model="tiny",
        device="modelled",
        mode="sync",
        tokens=OUR_TOKENS,
        prompt_tokens=PROMPT,
        batch_size=batch,
        max_batch_tokens=max(8192, batch),
        stop_at_eos=True,
    )
    device = ModelledDevice(
        gpu("h200"), config.architecture
    )  # its host is this machine, timed
    trace = run_mode(config, "sync", device, gpu("h200"), config.shape(batch * 40)).trace
    steps = int(trace.ranges.step.max()) + 1
    cost_ns = np.zeros(steps, np.int64)
    for name in ("schedule", "prepare", "retrieve", "update"):
        ranges = trace.ranges.take(trace.ranges.name == trace.name_index(name))
        ranges = ranges.take(ranges.step >= 0)
        np.add.at(cost_ns, ranges.step, ranges.end - ranges.start)
    # the waits: one per step, in order
    waits = trace.calls.take(trace.calls.name == trace.name_index("event.synchronize"))
    cost_ns -= waits.end - waits.start
    return float(np.median(cost_ns[SKIPPED:])) / 1e3


def theirs_us(model, batch: int) -> float:
    """Median host microseconds of a steady decode step of transformers' continuous batching."""
    from transformers import GenerationConfig
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    generation = GenerationConfig(
        max_new_tokens=TOKENS, do_sample=False, eos_token_id=2, pad_token_id=0
    )
    settings = ContinuousBatchingConfig(
        use_async_batching=False,
        use_cuda_graph=False,
        max_blocks_per_request=0,
        num_blocks=2 * batch + 64,
        max_batch_tokens=max(2048, batch),
    )
    manager = model.init_continuous_batching(
        generation_config=generation, continuous_batching_config=settings
    )
    manager.warmup()
    processor = manager.batch_processor
    times: dict[str, list[int]] = {"prepare_next_batch": [], "update_batch": []}
    sizes: list[tuple[int, int]] = []

    def timed(name):
        method = getattr(processor, name)

        def wrapped(*args, **kwargs):
            start = time.perf_counter_ns()
            result = method(*args, **kwargs)
            times[name].append(time.perf_counter_ns() - start)
            if name == "prepare_next_batch" and result is False:
                times[name].pop()
            return result

        setattr(processor, name, wrapped)

    schedule = processor.scheduler.schedule_batch

    def schedule_batch(*args, **kwargs):
        out = schedule(*args, **kwargs)
        if out[0]:
            sizes.append((len(out[0]), out[2]))
        return out

    processor.scheduler.schedule_batch = schedule_batch
    for name in times:
        timed(name)
    prompts = (
        np.random.default_rng(0).integers(3, TOY["vocab_size"], (batch, PROMPT)).tolist()
    )
    manager.add_requests(prompts, max_new_tokens=TOKENS)
    manager.start()
    finished = 0
    while finished < batch and manager.is_running():
        result = manager.get_result(timeout=1)
        finished += result is not None and result.is_finished()
    manager.stop(block=True, timeout=60)
    steps = zip(times["prepare_next_batch"], times["update_batch"], sizes, strict=False)
    steady = [
        prepare_ns + update_ns
        for step, (prepare_ns, update_ns, (rows, tokens)) in enumerate(steps)
        if step >= SKIPPED and rows == tokens >= 0.9 * batch
    ]
    return statistics.median(steady) / 1e3


def main() -> None:
    """Print a line a batch size and how the cost grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="8,32,128,512")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = (
        LlamaForCausalLM(LlamaConfig(**TOY, tie_word_embeddings=False))
        .eval()
        .requires_grad_(False)
    )
    model.set_attn_implementation("sdpa")
    batches = [int(batch) for batch in options.batches.split(",")]
    ours, theirs = {}, {}
    print(f"{'batch':>6} {'idlescope':>12} {'transformers':>14} {'ratio':>8}")
    for batch in batches:
        pairs = [(ours_us(batch), theirs_us(model, batch)) for _ in range(options.rounds)]
        ours[batch], theirs[batch] = (
            statistics.median(side) for side in zip(*pairs, strict=True)
        )
        ratio = theirs[batch] / ours[batch]
        print(f"{batch:>6} {ours[batch]:>9.1f} us {theirs[batch]:>11.1f} us {ratio:>7.1f}x")
    low, high = batches[0], batches[-1]
    growth = [side[high] / side[low] for side in (ours, theirs)]
    print(
        f"from batch {low} to {high} ({high / low:.0f}x): "
        f"idlescope {growth[0]:.1f}x, transformers {growth[1]:.1f}x"
    )


if __name__ == "__main__":
    main()
