"""What a decoder is and where its weights lie, read from a model folder; engines build from that alone.

`description` is the model; `llama` and `gpt2` make it, one function a family, from settings that `configuration`
completes or refuses, and `read` finds the function. `checkpoint` opens the weights, which have to be those described.
"""
