"""The user's settings: one TOML file, of which every key is optional, and every wrong one is named and left out."""

from __future__ import annotations

import codecs
import errno
import os
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from tuibench.core.run.endpoint import Api, Endpoint, EndpointError
from tuibench.core.run.host import Host, HostError
from tuibench.toml_input import TomlInputError, parse, read_text

_MAX_BYTES = 1 << 20

GlyphsWanted = Literal["auto", "unicode", "console", "ascii"]


class EndpointTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An `[endpoints.NAME]` of the settings file: a server that runs already, as the method `endpoint:NAME`."""

    url: str
    model: str
    api: Api = "completions"
    key_env: str | None = None

    def named(self, name: str) -> Endpoint:
        """Return the endpoint.

        Raises:
            EndpointError: It cannot be asked.
        """
        endpoint = Endpoint(name=name, url=self.url, model=self.model, api=self.api, key_env=self.key_env)
        endpoint.check()
        return endpoint


class HostTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `[hosts.NAME]` of the settings file: another machine that methods can be measured on."""

    launcher: tuple[str, ...]
    python: str | None = None
    env: dict[str, str] = {}
    price_per_hour: float | None = None
    shells: int | None = None

    def named(self, name: str) -> Host:
        """Return the host.

        Raises:
            HostError: It cannot be used as it is described.
        """
        host = Host(name=name, **msgspec.structs.asdict(self))
        host.check()
        return host


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the dashboard starts with; the command line goes before it."""

    theme: str | None = None
    """Name of a theme; None for the one that suits the terminal."""
    color: Literal["auto", "truecolor", "256", "16"] = "auto"
    glyphs: GlyphsWanted = "auto"
    """What the terminal can draw; `ascii` also for a font without braille."""
    mouse: bool = True
    low_bandwidth: bool = False
    keys: dict[str, str] = {}
    """Other keys for an action, by the id in the help panel: `"run.start" = "f6,ctrl+n"`."""
    endpoints: dict[str, EndpointTable] = {}
    """Servers that can be measured, by name."""
    hosts: dict[str, HostTable] = {}
    """Other machines that can be measured on, by name."""

    @property
    def servers(self) -> tuple[Endpoint, ...]:
        """The same, as they take part in a run."""
        return tuple(table.named(name) for name, table in self.endpoints.items())

    @property
    def machines(self) -> tuple[Host, ...]:
        """Other machines, as they take part in a run."""
        return tuple(table.named(name) for name, table in self.hosts.items())


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The settings, and what of the file was left out."""

    config: Config
    problems: tuple[str, ...] = ()
    """One line each: file, key, reason."""


def load_config(path: Path) -> LoadedConfig:
    """Read the settings; a missing file is not an error, and what is wrong in it never stops the program."""
    try:
        raw = parse(read_text(path, _MAX_BYTES))
    except FileNotFoundError:
        return LoadedConfig(Config())
    except OSError as error:
        return LoadedConfig(Config(), (f"{path.name}: cannot be read: {error.strerror}",))
    except TomlInputError as error:
        return LoadedConfig(Config(), (f"{path.name}: not read: not a valid TOML file: {error}",))
    good: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in raw.items():
        if key in _NAMED and isinstance(value, dict):
            good[key], wrong = _named(value, _NAMED[key])
            problems += [f"{path.name}: {key}.{problem}" for problem in wrong]
        elif (problem := _problem(key, value)) is None:
            good[key] = value
        else:
            problems.append(f"{path.name}: {key}: {problem}")
    return LoadedConfig(msgspec.convert(good, Config), tuple(problems))


_NAMED: dict[str, type[EndpointTable] | type[HostTable]] = {"endpoints": EndpointTable, "hosts": HostTable}
"""Tables of tables, each with a name of the user's."""


def _named(
    tables: dict[str, Any], kind: type[EndpointTable] | type[HostTable]
) -> tuple[dict[str, EndpointTable | HostTable], list[str]]:
    """Return those that can be used, and what is wrong with the others; no value is quoted, it may be a key."""
    good: dict[str, EndpointTable | HostTable] = {}
    problems: list[str] = []
    for name, table in tables.items():
        try:
            found = msgspec.convert(table, kind)
            found.named(name)
        except (msgspec.ValidationError, EndpointError, HostError) as error:
            problems.append(f"{name}: {error}")
        else:
            good[name] = found
    return good, problems


def _problem(key: str, value: object) -> str | None:
    if key not in Config.__struct_fields__:
        return f"no such setting; there are {', '.join(Config.__struct_fields__)}"
    try:
        msgspec.convert({key: value}, Config)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def save_theme(path: Path, theme: str) -> None:
    """Make a theme the one to start with; the rest of the file stays as it is, comments and line ends included.

    Raises:
        OSError: The file cannot be read or written, or is not to be changed.
        ValueError: It is not valid TOML, so that nothing can be put into it.
    """
    content = path.read_bytes() if path.exists() else b""
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    text = _with_theme(content.removeprefix(mark).decode(), theme)
    target = path.resolve()  # a link to a file that is kept elsewhere stays one
    is_new = not target.exists()
    if not is_new and not os.access(target, os.W_OK):  # it could be replaced nevertheless
        raise PermissionError(errno.EACCES, "it is read-only")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(mark + text.encode())
    if not is_new:
        shutil.copymode(target, temporary)
    temporary.replace(target)


def _with_theme(text: str, theme: str) -> str:
    import tomlkit  # noqa: PLC0415 - only when a theme is chosen

    tomllib.loads(text)  # its words on what is wrong are the ones that are shown everywhere else
    document = tomlkit.parse(text)
    if "theme" in document:
        document["theme"] = theme
        text = document.as_string()
    else:  # at the top: further down it might belong to a table
        end = "\r\n" if "\r\n" in text else "\n"
        text = f"theme = {tomlkit.item(theme).as_string()}{end}{text}"
    tomllib.loads(text)  # a file that was whole stays whole
    return text
