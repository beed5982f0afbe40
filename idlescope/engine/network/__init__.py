"""The decoder that tensor devices run."""
