"""What a decoder is and where its weights lie, read from a model folder; engines build from that alone.

`description` is the model, from settings that `configuration` completes or refuses; `checkpoint` opens its weights,
which have to be those that `expected` lists.
"""
