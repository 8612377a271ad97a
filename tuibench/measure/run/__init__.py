"""A run from its first round to its last record."""
