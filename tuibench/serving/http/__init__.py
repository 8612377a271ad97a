"""An OpenAI-compatible API before a process with a model.

Python's own HTTP server carries it: a request takes seconds and they are answered one at a time, so that a thread for
each connection is enough, and nobody has to install anything.
"""
