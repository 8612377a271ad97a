"""The graph that PyTorch's exporter makes of a transformers model."""
