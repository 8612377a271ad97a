"""Themes, glyphs, colours of methods."""
