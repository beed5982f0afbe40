"""What steps would take otherwise: asynchronously, on another host or GPU, without a phase."""
