"""Profile a decode loop of JAX, for the reader of XLA's profiles: python3 tests/gpu/jax_decode.py OUT

A small decoder is jitted, its steps wait for their tokens as a synchronous engine does, and
`jax.profiler` records ten of them. OUT gets `xplane.pb`, `trace.json.gz` and `said.json`: the time
per step without the profiler and with it, and how many steps there were.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp

BATCH, WIDTH, LAYERS, VOCABULARY, STEPS = 32, 1024, 8, 32_000, 10


@jax.jit
def decode(weights: jax.Array, embedding: jax.Array, tokens: jax.Array) -> jax.Array:
    """Return the next tokens of a batch."""
    state = embedding[tokens]
    for layer in range(LAYERS):
        state = state + jnp.tanh(state @ weights[layer])
    return jnp.argmax(state @ embedding.T, axis=-1)


def run(weights: jax.Array, embedding: jax.Array, tokens: jax.Array, steps: int) -> float:
    """Decode so many steps, and wait for the tokens of each; return milliseconds per step."""
    begun = time.perf_counter()
    for number in range(steps):
        with jax.profiler.StepTraceAnnotation("decode", step_num=number):
            tokens = decode(weights, embedding, tokens)
            [int(token) for token in tokens]  # as a host that looks at each does
    return 1e3 * (time.perf_counter() - begun) / steps


def main(out: Path) -> None:
    """Profile the loop."""
    out.mkdir(parents=True, exist_ok=True)
    key = jax.random.PRNGKey(0)
    weights = jax.random.normal(key, (LAYERS, WIDTH, WIDTH), jnp.bfloat16) / 32
    embedding = jax.random.normal(key, (VOCABULARY, WIDTH), jnp.bfloat16)
    tokens = jnp.arange(BATCH)
    run(weights, embedding, tokens, 3)
    said = {"jax": jax.__version__, "device": str(jax.devices()[0]), "steps": STEPS}
    said["bare_ms"] = run(weights, embedding, tokens, 50)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            said["recorded_ms"] = run(weights, embedding, tokens, STEPS)
        for kind in ("*.xplane.pb", "*.trace.json.gz"):
            for path in Path(folder).rglob(kind):
                shutil.copy(path, out / kind.lstrip("*."))
    (out / "said.json").write_text(json.dumps(said, indent=1) + "\n")
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
