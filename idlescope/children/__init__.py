"""Child processes of idlescope: one way to start them, in which nothing of a user is imported."""
