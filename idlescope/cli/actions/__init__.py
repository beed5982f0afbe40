"""What each command does once its options are read; imported when it runs."""
