"""transformers' continuous batching: load its network, run our requests, record its steps."""
