"""Sessions on disk: append, load, list, export, replay."""
