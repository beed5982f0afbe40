"""What the devices of one job did together: who waited for whom in collectives, and why."""
