"""Child processes of idlescope: ways to start them in which nothing of a user is imported."""
