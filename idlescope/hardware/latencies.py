"""What calls and hand-overs cost, measured, each with its source."""

from __future__ import annotations

# From the end of a step to the start of the next one, already queued: median of 24 pairs of graphs
# in the H200 trace of transformers' asynchronous loop recorded for this project (2026-11-23). A
# synchronous trace has no such pair.
SUCCESSION_NS = 4_560

# What the host takes to replay a CUDA graph of 1,500 nodes on an H200 (tests/gpu/latencies.py).
GRAPH_LAUNCH_NS = 6_700
