"""Intervals, ratios and tests on numbers, whatever they measure."""
