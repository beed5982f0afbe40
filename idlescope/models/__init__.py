"""Architectures of models: named, or read from a checkpoint."""
