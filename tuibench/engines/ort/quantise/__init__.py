"""From FP32 weights to fewer bits, with what that needs to know of activations."""
