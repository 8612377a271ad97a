"""Themes as files: `themes/*.toml`, ours and the user's, checked before Textual sees them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from textual.color import Color, ColorParseError
from textual.theme import Theme

from tuibench.core.format import as_text
from tuibench.toml_input import TomlInputError, parse, read_text
from tuibench.ui.look.series import N_DISTINCT, N_SERIES

DEFAULT_THEME = "graphite"
THEME_OF_16_COLOURS = "sixteen"
"""Where a terminal shows no more: any other theme would lose the step from background to panel."""


_MAX_BYTES = 1 << 20


class Colours(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The colours that everything else is derived from."""

    background: str
    surface: str
    panel: str
    foreground: str
    muted: str
    """Labels, axes, what is not measured yet; still readable (4.5:1)."""
    border: str
    primary: str
    """Focus and selection."""
    accent: str
    success: str
    warning: str
    error: str


class ThemeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A theme file. Its name is the file's stem."""

    dark: bool
    colours: Colours
    series: tuple[str, ...]
    """One colour per method, `$series-1` onwards: eight or more."""
    variables: dict[str, str] = {}
    """Any other theme variable of Textual."""


@dataclass(frozen=True, slots=True)
class LoadedThemes:
    """What was found."""

    themes: tuple[Theme, ...]
    problems: tuple[str, ...]
    """One line per file that was skipped: its name and the reason."""


def load_themes(folders: Iterable[Path]) -> LoadedThemes:
    """Read all themes; a later folder's theme replaces an earlier one of the same name."""
    themes: dict[str, Theme] = {}
    problems: list[str] = []
    for folder in folders:
        for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem):
            try:
                themes[path.stem] = load_theme(path)
            except (OSError, TomlInputError, msgspec.ValidationError, ColorParseError, ValueError) as error:
                problems.append(f"{path.name}: {error}")
    return LoadedThemes(tuple(themes.values()), tuple(problems))


class ThemeFolders:
    """Folders of theme files, read again when something in them has changed."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(folders)
        self._seen: frozenset[tuple[str, int, int]] = frozenset()

    def load(self) -> LoadedThemes:
        """Read all themes."""
        self._seen = self._files()
        return load_themes(self._folders)

    @property
    def changed(self) -> bool:
        """Whether a file was added, changed or removed since they were read."""
        return self._files() != self._seen

    def _files(self) -> frozenset[tuple[str, int, int]]:
        found = set()
        for folder in self._folders:
            for path in folder.glob("*.toml"):
                with contextlib.suppress(OSError):  # gone meanwhile
                    status = path.stat()
                    found.add((str(path), status.st_mtime_ns, status.st_size))
        return frozenset(found)


def load_theme(path: Path) -> Theme:
    """Read one theme file.

    Raises:
        OSError: The file cannot be read.
        TomlInputError: It is not TOML, or too large.
        msgspec.ValidationError: It lacks a colour or has a key that means nothing.
        ColorParseError: A value is not a colour.
        ValueError: It does not name a colour for each series.
    """
    file = msgspec.convert(parse(read_text(path, _MAX_BYTES)), ThemeFile)
    if not N_DISTINCT <= len(file.series) <= N_SERIES:
        raise ValueError(f"{len(file.series)} series colours, {N_DISTINCT} to {N_SERIES} needed")
    colours = msgspec.structs.asdict(file.colours)
    for value in (*colours.values(), *file.series):
        Color.parse(value)
    of = file.colours
    return Theme(
        name=as_text(path.stem),
        dark=file.dark,
        primary=of.primary,
        accent=of.accent,
        success=of.success,
        warning=of.warning,
        error=of.error,
        foreground=of.foreground,
        background=of.background,
        surface=of.surface,
        panel=of.panel,
        variables=_variables(file),
    )


def _series(file: ThemeFile) -> list[str]:
    """Return a colour for each number: those that a file leaves out lie half-way from its first ones to its text."""
    text = Color.parse(file.colours.foreground)
    more = [Color.parse(value).blend(text, 0.5).hex for value in file.series]
    return [*file.series, *more, *more][:N_SERIES]


def _variables(file: ThemeFile) -> dict[str, str]:
    colours = file.colours
    return {
        **{f"series-{number}": value for number, value in enumerate(_series(file), 1)},
        "muted": colours.muted,
        "line": colours.border,
        "border": colours.primary,
        "border-blurred": colours.border,
        "footer-key-foreground": colours.accent,
        "footer-description-foreground": colours.muted,
        "footer-background": colours.background,
        "footer-item-background": colours.background,
        "footer-key-background": colours.background,
        "footer-description-background": colours.background,
        "scrollbar": colours.border,
        "scrollbar-background": colours.background,
        "scrollbar-corner-color": colours.background,
        "block-cursor-background": colours.panel,
        "block-cursor-foreground": colours.foreground,
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": colours.surface,
        "block-cursor-blurred-foreground": colours.foreground,
        **file.variables,
    }


def variable_defaults() -> dict[str, str]:
    """Return our own variables for themes that are not ours (Textual's built-in ones)."""
    series = ("#5B9BD5", "#E0A458", "#7FB069", "#C77DBB", "#4DB6AC", "#D9706B", "#9C9AE0", "#B8B04F")
    more = ("#B3D4F0", "#F2D9B0", "#C3DFB8", "#E5C3DE", "#B0E0DB", "#F0C1BC", "#D3D2F5", "#E0DCAE")
    return {
        **{f"series-{number}": value for number, value in enumerate((*series, *more), 1)},
        "muted": "#9A9A9A",
        "line": "#5A5A5A",
    }
