"""Steps of the batching loop, and how they are batched."""
