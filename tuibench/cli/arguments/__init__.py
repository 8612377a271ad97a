"""What each verb takes: one module a verb, which knows none of the verb's code, for `--help` must be instant."""


class UsageError(Exception):
    """What the user asked for cannot be done; the message says what would."""
