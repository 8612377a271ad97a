"""GGUF files: their header, and the transformers model that header and tensors describe."""
