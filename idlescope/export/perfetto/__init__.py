"""Traces for Perfetto, as Chrome JSON in the vocabulary of torch.profiler."""
