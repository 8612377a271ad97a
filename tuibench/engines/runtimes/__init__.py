"""Other people's runtimes as methods: each on an interpreter of its own, on files written from the same weights."""
