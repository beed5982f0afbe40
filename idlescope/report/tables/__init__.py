"""Tables and text for terminals."""
