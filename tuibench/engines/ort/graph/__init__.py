"""Graphs of our own, assembled from a decoder's description."""
