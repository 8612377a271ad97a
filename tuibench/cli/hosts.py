"""`tuibench hosts list|check|prepare`: other machines that methods can be measured on."""

from __future__ import annotations

import asyncio
import shlex
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

from tuibench.cli import OK, SOME_FAILED
from tuibench.cli.aligned import aligned
from tuibench.cli.arguments import UsageError
from tuibench.cli.models import ensure_model
from tuibench.cli.run_hosts import settings_hosts
from tuibench.core.format import printable_line
from tuibench.measure.hosts.check import checked
from tuibench.measure.hosts.host import HostUnusableError
from tuibench.measure.hosts.prepare import prepare
from tuibench.measure.run.commit import running_commit
from tuibench.models.local import DEFAULT_MODEL

if TYPE_CHECKING:
    import argparse

    from tuibench.core.run.host import Host
    from tuibench.models.local import LocalModel

_PATIENCE_S = 60.0


def run(options: argparse.Namespace) -> int:
    """Run the verb; what was found goes to standard output, what is waited for to standard error."""
    known = settings_hosts()
    if options.action == "list":
        return _list(known)
    hosts = _chosen(known, options.hosts)
    model = ensure_model(options.model or DEFAULT_MODEL)
    if options.action == "prepare":
        return _prepare(hosts, model)
    return asyncio.run(_check(hosts, model, options))


def _chosen(known: dict[str, Host], names: list[str]) -> list[Host]:
    unknown = [name for name in names if name not in known]
    if unknown or not known:
        there_are = ", ".join(known) or "none"
        raise UsageError(
            f"unknown host {', '.join(unknown) or '?'}; known: {there_are}; add [hosts.NAME] to the settings"
        )
    return [known[name] for name in names] if names else list(known.values())


def _list(known: dict[str, Host]) -> int:
    if not known:
        print("no hosts: add [hosts.NAME] with a launcher to the settings", file=sys.stderr)
        return OK
    rows = [("host", "per hour", "launcher")]
    for host in known.values():
        price = "" if host.price_per_hour is None else f"{host.price_per_hour:g}"
        rows.append((host.name, price, printable_line(shlex.join(host.launcher))))
    print("\n".join(aligned(rows)))
    return OK


def _prepare(hosts: list[Host], model: LocalModel) -> int:
    sound = True
    for host in hosts:
        try:
            prepare(host, model, running_commit(), lambda text, name=host.name: _tell(f"{name}: {text}"))  # type: ignore[misc]
        except HostUnusableError as error:
            _tell(str(error))
            sound = False
    return OK if sound else SOME_FAILED


async def _check(hosts: list[Host], model: LocalModel, options: argparse.Namespace) -> int:
    sound = True
    for host in hosts:
        print(host.name, flush=True)
        checks = checked(host, model, options.threads, options.timeout or _PATIENCE_S, _tell)
        async with aclosing(checks) as found:
            async for check in found:
                mark = "ok" if check.remedy is None else "!!"
                remedy = f"; {check.remedy}" if check.remedy else ""
                print(printable_line(f"  {mark}  {check.what:<8} {check.found}{remedy}"), flush=True)
                sound &= check.remedy is None
    return OK if sound else SOME_FAILED


def _tell(text: str) -> None:
    print(printable_line(text), file=sys.stderr, flush=True)
