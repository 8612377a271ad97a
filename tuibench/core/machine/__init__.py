"""What a machine is, and what may be wrong with a measurement on it."""
