"""What a run is run on: one class per device, one line per device in the table of `choose`."""
