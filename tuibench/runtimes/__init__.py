"""Runtimes of others: each in a virtual environment of its own under our cache, made on demand, removed whole."""
