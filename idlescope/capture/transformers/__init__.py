"""transformers' continuous batching, watched."""
