"""Writers of traces for other tools."""
