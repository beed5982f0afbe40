"""What steps would take otherwise: batched asynchronously, on another host or GPU, without a phase."""
