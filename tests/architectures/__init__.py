"""Every causal-LM type of the installed transformers as a tiny seeded model folder, longer texts than any window."""
