"""Where models come from: the hub, packages, GGUF files."""
