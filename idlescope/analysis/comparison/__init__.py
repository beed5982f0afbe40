"""What changed between recordings, where, and whether it is more than noise."""
