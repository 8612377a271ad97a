"""What the command line knows of a verb before its code is imported."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

EXIT_CODES = """\
exit codes: 0 all rows measured; 1 some rows failed (they are in the session, with reasons);
2 bad usage or input; 3 regression found; 4 cannot tell (only with compare --strict);
130 interrupted (everything finished is saved)
"""

SESSION_HELP = "file, name or beginning of a name; `last` for the newest"


class Verb(NamedTuple):
    """A word after `tuibench`. Its code is the module of `tuibench.cli` that is called so."""

    name: str
    help: str
    """One line, in the list of all verbs."""
    add_arguments: Callable[[argparse.ArgumentParser], None]
    example: str
    """A whole command line."""
    epilog: str = ""
    """Printed as it is, below the options."""
