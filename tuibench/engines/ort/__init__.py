"""ONNX Runtime: one decoder graph, built from a checkpoint, run with a KV-cache that is never copied.

`llama` and `gpt2` lay out the graph of what `engines.decoder` describes through `graph`, `projections` decide the
precision of its matrix products, `build` makes the files in a child process, `session` runs them.
"""
