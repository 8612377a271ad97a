"""Textual's private parts: everything here may break with another version of it, and nothing elsewhere."""
