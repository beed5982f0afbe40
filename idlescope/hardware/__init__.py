"""GPUs and measured latencies, with their sources."""
