"""`tuibench methods`: what can be compared, and what it would take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.cli.models import ensure_model
from tuibench.config import load_config
from tuibench.core.format import MISSING, printable, size
from tuibench.core.run.spec import DEFAULT_NEW_TOKENS, Method, method_of_server
from tuibench.machine.memory_room import free_memory_bytes
from tuibench.models.memory_needs import Fit, need_of
from tuibench.models.model_size import size_of
from tuibench.runtimes.environment import methods_here

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Print one line per method, in ladder order, then the servers of the settings file; what is unusable says why."""
    servers = load_config(paths.config_file()).config.servers
    methods = [*methods_here().values(), *map(method_of_server, servers)]
    if options.model is None:
        print("\n".join(_listed(methods)))
        return 0
    model = ensure_model(options.model)
    n_tokens = options.tokens or DEFAULT_NEW_TOKENS
    weights, free_bytes = size_of(model.directory), free_memory_bytes()
    print(printable(f"{model.name}, {n_tokens} tokens; {size(free_bytes)} of memory are free"))
    print(f"{'':{_width(methods)}}  {'runs in':>9}  {'made in':>9}")
    for method in methods:
        need = need_of(method.id, weights, n_tokens)
        fit = None if need is None else Fit(need, free_bytes)
        print(f"{printable(method.id):{_width(methods)}}  {_told(fit)}")
    return 0


def _listed(methods: Iterable[Method]) -> Iterator[str]:
    methods = list(methods)
    for method in methods:
        improves = f" (after {method.parent})" if method.parent else ""
        precision = f"{MISSING:4}" if method.problem or method.precision == "unknown" else method.precision
        yield f"{printable(method.id):{_width(methods)}}  {precision}  {method.explanation}{printable(improves)}"


def _width(methods: Iterable[Method]) -> int:
    return max((len(printable(method.id)) for method in methods), default=0)


def _told(fit: Fit | None) -> str:
    """Return a method's needs, and whether they are met."""
    if fit is None:
        return f"{MISSING:>9}  {MISSING:>9}  not known beforehand"
    need = fit.need
    if lacking := fit.lacking_bytes:
        verdict = f"does not fit: {size(lacking)} more would have to be free"
    elif lacking := fit.lacking_to_prepare_bytes:
        verdict = f"its files cannot be made: {size(lacking)} more would have to be free"
    else:
        verdict = "fits"
    mapped = f"; {size(need.mapped)} of it is mapped from files and can be given back" if need.mapped else ""
    return f"{size(need.run):>9}  {size(need.prepare):>9}  {verdict}{mapped}"
