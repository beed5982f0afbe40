"""What asynchronous batching, or another change, would give."""
