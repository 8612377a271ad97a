"""PyTorch in eager mode, on whatever transformers loads."""
