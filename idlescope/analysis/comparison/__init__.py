"""What changed between recordings."""
