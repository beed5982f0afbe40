"""What is said of a device, and when nothing can be."""
