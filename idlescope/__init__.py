"""See, explain, predict and remove the idle time of a GPU that serves a language model."""

__version__ = "0.1.0"
