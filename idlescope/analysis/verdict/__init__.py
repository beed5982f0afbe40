"""What the figures of a device mean, whether they can be trusted, and what to do about them."""
