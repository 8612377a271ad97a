"""Which optimisation should this language model use on this CPU, and what does it cost?"""

__version__ = "0.1.0"
