"""A method put to use: asked for answers by a person in a terminal, or by programs over HTTP.

The model runs in a process of its own (`child`), so that a crash in native code is one line here, and what asks it
imports no model library. The parent's half: `model_process` and `http`.
"""
