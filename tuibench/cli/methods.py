"""`tuibench methods`: what can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.config import load_config
from tuibench.core.format import MISSING, printable
from tuibench.core.run.spec import method_of_server
from tuibench.runtimes.environment import methods_here

if TYPE_CHECKING:
    import argparse


def run(_: argparse.Namespace) -> int:
    """Print one line per method, in ladder order, then the servers of the settings file; what is unusable says why."""
    servers = load_config(paths.config_file()).config.servers
    methods = [*methods_here().values(), *map(method_of_server, servers)]
    width = max((len(printable(method.id)) for method in methods), default=0)
    for method in methods:
        improves = f" (after {method.parent})" if method.parent else ""
        precision = f"{MISSING:4}" if method.problem or method.precision == "unknown" else method.precision
        print(f"{printable(method.id):{width}}  {precision}  {method.explanation}{printable(improves)}")
    return 0
