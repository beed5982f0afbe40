"""What a run is run on."""
