"""The reference continuous-batching engine: one step loop, synchronous or asynchronous by the depth of its pipeline."""
