"""The reference engine: continuous batching in one step loop, synchronous or asynchronous."""
