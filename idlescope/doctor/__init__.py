"""What a machine can measure, and what to do about what it cannot."""
