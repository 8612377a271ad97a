"""The model in this folder under tuibench's own kernels: its weights are packed when it is loaded."""

from tuibench.methods import engine_class


class Model:
    """Decodes token by token with a KV-cache; a whole token is one compiled call."""

    def __init__(self, folder, settings, threads):
        engine = engine_class(settings["method"])()
        engine.prepare(folder, self._progress)
        engine.load(folder, threads, self._progress)
        self._engine = engine  # `score`, too; `keep` and `extend` to go on from an earlier text

    def prefill(self, token_ids, max_length):
        """Forget everything, read a prompt, and return the logits that follow; `max_length` counts new tokens, too."""
        return self._engine.prefill(token_ids, max_length)

    def decode(self, token_id):
        """Append one token and return the logits that follow it."""
        return self._engine.decode(token_id)

    @staticmethod
    def _progress(label, done, total):
        """Say nothing of the kernels, which are compiled once, nor of the weights."""
