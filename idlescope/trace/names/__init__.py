"""What the names of spans and calls mean."""
