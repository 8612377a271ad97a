"""The machines that a command line names: hosts of the settings file, and this one."""

from __future__ import annotations

from collections.abc import Sequence

from tuibench import paths
from tuibench.cli.arguments import UsageError
from tuibench.config import load_config
from tuibench.core.run.endpoint import is_endpoint
from tuibench.core.run.host import THIS_MACHINE, Host, on_host


def named_hosts(names: str | None) -> tuple[Host | None, ...]:
    """Return the machines of a comma-separated list, each once; None is this one, as it is without a list.

    Raises:
        UsageError: One is unknown, or cannot be used as the settings describe it.
    """
    if names is None:
        return (None,)
    known = settings_hosts()
    found: dict[str, Host | None] = {}
    for name in filter(None, map(str.strip, names.split(","))):
        if name != THIS_MACHINE and name not in known:
            there_are = ", ".join([*known, THIS_MACHINE])
            raise UsageError(f"unknown host {name!r}; there are {there_are}; [hosts.NAME] in the settings adds one")
        found[name] = known.get(name)
    if not found:
        raise UsageError("--on names no host; `tuibench hosts` lists them")
    return tuple(found.values())


def settings_hosts() -> dict[str, Host]:
    """Return the hosts of the settings file by name.

    Raises:
        UsageError: One cannot be used; all that is wrong is told.
    """
    loaded = load_config(paths.config_file())
    wrong = [problem for problem in loaded.problems if ": hosts" in problem]
    if wrong:
        raise UsageError("; ".join(wrong))
    return {host.name: host for host in loaded.config.machines}


def on_all(methods: Sequence[str], hosts: Sequence[Host | None]) -> tuple[str, ...]:
    """Return the rows of methods on machines, machine by machine. Servers are asked from here.

    Raises:
        UsageError: There are servers, and this machine does not take part.
    """
    servers = [method for method in methods if is_endpoint(method)]
    if servers and None not in hosts:
        raise UsageError(f"{servers[0]} is asked from this machine: add {THIS_MACHINE} to --on")
    return tuple(
        on_host(method, host.name if host else None)
        for host in hosts
        for method in methods
        if host is None or not is_endpoint(method)
    )
