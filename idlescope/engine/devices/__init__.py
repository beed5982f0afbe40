"""The devices that the loop can drive, behind one small interface."""
