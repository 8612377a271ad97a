"""Readers of the machine that this process runs on."""
