"""A machine that methods are measured on: what it is called, how to get there, and the rows that belong to it.

A method on another machine is a row of its own, called `METHOD@HOST`, which no installed method can be: whatever reads
a session shows it as one row more. On this machine, methods have their plain names.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

import msgspec

THIS_MACHINE = "local"
"""What the machine that tuibench runs on is called among hosts."""

_AT = "@"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_ENDPOINT = "endpoint"
_PARSING_AGAIN = frozenset({"ssh", "rsh", "slogin", "autossh"})
"""Programs that hand their words to a shell at the other end."""
_QUEUEING = "srun"

_PREPARED = (
    "import os,sys;"
    "h=os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache');"
    "c=os.path.expanduser(os.environ.get('TUIBENCH_CACHE') or h+'/tuibench');"
    "p=c+'/host-env/bin/python';p=p if os.path.exists(p) else sys.executable;"
    "os.execv(p,[p,*sys.argv[1:]])"
)
"""Becomes the interpreter of the environment that was made there, if there is one."""


class HostError(ValueError):
    """A host cannot be used as it is described; the message says what is wrong with it."""


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to start a process on another machine."""

    name: str
    launcher: tuple[str, ...]
    """The words before the command: `ssh -T user@big`, `srun -n1 -c 8`, `kubectl exec -i POD --`."""
    python: str | None = None
    """An interpreter there that has tuibench: a path, or what is found on the path. None: the environment that
    `tuibench hosts prepare` makes, else `python3`."""
    env: dict[str, str] = {}
    """Variables of the processes there."""
    price_per_hour: float | None = None
    """In whatever currency."""
    shells: int | None = None
    """How many shells parse the command again on its way; None: one for each `ssh` among the launcher's words."""

    def check(self) -> None:
        """See that it can be used.

        Raises:
            HostError: It cannot.
        """
        if not _NAME.fullmatch(self.name) or self.name == THIS_MACHINE:
            raise HostError(f"host name {self.name!r}: use lower-case letters, digits, '.', '_' and '-', not `local`")
        if not self.launcher or not self.launcher[0].strip():
            raise HostError('launcher is empty; give the words before the command, such as ["ssh", "-T", "user@big"]')
        if self.python is not None and not self.python.strip():
            raise HostError("python is empty; name an interpreter there")
        if any("\0" in word for word in (*self.launcher, self.python or "", *self.env, *self.env.values())):
            raise HostError("a word has a NUL in it")
        if self.price_per_hour is not None and not 0 < self.price_per_hour < float("inf"):
            raise HostError("price_per_hour must be a number above 0")

    def submitting(self) -> tuple[Host, tuple[str, ...] | None]:
        """Return the machine that files and jobs of this one are reached from, and what srun is given to get here.

        Where a queue stands before a machine, that is where srun is called; else it is the machine itself, and None.
        """
        for place, word in enumerate(self.launcher):
            if word.rpartition("/")[2] == _QUEUEING:
                before = self.launcher[:place] or ("env",)
                return msgspec.structs.replace(self, launcher=before), self.launcher[place + 1 :]
        return self, None

    def module(self, name: str) -> list[str]:
        """Return the words that run a module of tuibench there."""
        words = [f"{variable}={value}" for variable, value in self.env.items()]
        python = [self.python] if self.python is not None else ["python3", "-c", _PREPARED]
        return self.command(*(["env", *words] if words else []), *python, "-m", name)

    def command(self, *words: str) -> list[str]:
        """Return the words that run a command there, each of them as it arrives, spaces, quotes and all."""
        shells = self.shells
        if shells is None:
            shells = sum(word.rpartition("/")[2] in _PARSING_AGAIN for word in self.launcher)
        for _ in range(shells):
            words = tuple(map(shlex.quote, words))
        return [*self.launcher, *words]


def on_host(method: str, host: str | None) -> str:
    """Return the row of a method on a host; None is this machine."""
    return method if host is None else f"{method}{_AT}{host}"


def host_of(row: str) -> str | None:
    """Return the host that a row was measured on; None for this machine."""
    name, at, host = row.rpartition(_AT)
    return host if at and not name.startswith(_ENDPOINT) else None


def without_host(row: str) -> str:
    """Return what a row is called among those of its host."""
    host = host_of(row)
    return row if host is None else row.removesuffix(f"{_AT}{host}")


def hosts_of(rows: Iterable[str]) -> tuple[str | None, ...]:
    """Return the machines of some rows, in the order in which they come first."""
    return tuple(dict.fromkeys(map(host_of, rows)))
