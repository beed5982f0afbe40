"""The ways in which a watch learns when the device worked."""
