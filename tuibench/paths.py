"""The only module that knows where themes, sessions, models, caches and logs live."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from platformdirs import PlatformDirs

_dirs = PlatformDirs("tuibench", appauthor=False)
_package = Path(__file__).parent
_SHARED_FOLDERS = (Path("/run/lock"), Path("/tmp"))  # noqa: S108 - the same for all users, unlike $TMPDIR


def _packaged(name: str) -> Path:
    """Return a data folder: inside the wheel, or beside the package in a checkout."""
    inside = _package / f"_{name}"
    return inside if inside.is_dir() else _package.parent / name


def expanded(name: str) -> Path:
    """Return the path that a name means: a `~` at its start is a home folder, where the shell left it (`--output=~/x`).

    A home that nobody has stays in the path as it was typed.
    """
    return Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises where a user is unknown


def packaged_themes() -> Path:
    """Return the folder of the themes that ship."""
    return _packaged("themes")


def evaluation_text() -> Path:
    """Return the text that quality is measured on unless the user has one; where it is from stands beside it."""
    return _package / "quality" / "data" / "jargon.txt"


def config_file() -> Path:
    """Return the file of the user's settings; it need not exist."""
    return _named("TUIBENCH_CONFIG") or _dirs.user_config_path / "config.toml"


def user_themes() -> Path:
    """Return the folder of the user's own themes; it need not exist."""
    return _named("TUIBENCH_THEMES") or _dirs.user_config_path / "themes"


def user_prompts() -> Path:
    """Return the folder of the user's prompts, one text file each; it need not exist."""
    return _named("TUIBENCH_PROMPTS") or _dirs.user_config_path / "prompts"


def prompt_history() -> Path:
    """Return the file of the prompts that were measured with."""
    return _named("TUIBENCH_HISTORY") or _dirs.user_state_path / "prompts.jsonl"


def sample_sessions() -> Path:
    """Return the folder of the recorded sessions that ship."""
    return _packaged("sessions")


def is_bundled(session: Path) -> bool:
    """Tell whether a session came with the program: such a file stays as it is."""
    shipped = sample_sessions().resolve()
    return session.resolve().parent == shipped != sessions_dir().resolve()


def sessions_dir(output: Path | None = None) -> Path:
    """Return where sessions are written: asked for, `$TUIBENCH_SESSIONS`, `./sessions` if it exists, the user's."""
    if output is not None:
        return output
    if from_environment := _named("TUIBENCH_SESSIONS"):
        return from_environment
    here = Path("sessions")
    return here if here.is_dir() else _dirs.user_data_path / "sessions"


def cache_dir() -> Path:
    """Return the root of everything that can be made again: `$TUIBENCH_CACHE`, else the user's cache folder."""
    return _named("TUIBENCH_CACHE") or _dirs.user_cache_path


def models_dir() -> Path:
    """Return the folder that holds one folder per pulled model."""
    return cache_dir() / "models"


def artifacts_dir() -> Path:
    """Return the folder of the graphs that were exported or quantised from models."""
    return cache_dir() / "artifacts"


def runtimes_dir() -> Path:
    """Return the folder that holds one virtual environment per runtime."""
    return cache_dir() / "runtimes"


def logs_dir() -> Path:
    """Return the folder of the workers' logs."""
    return cache_dir() / "logs"


def session_index() -> Path:
    """Return the file that remembers what is in the session files."""
    return cache_dir() / "sessions.json"


def bandwidth_file() -> Path:
    """Return the file that remembers today's read bandwidth of this machine."""
    return cache_dir() / "bandwidth.json"


def measurement_lock() -> Path:
    """Return the file whose lock says that somebody measures on this machine: `$TUIBENCH_LOCK`, else one for all users.

    Which folder it lies in does not depend on who asks: the first that everybody may write to, else the user's own.
    """
    if chosen := _named("TUIBENCH_LOCK"):
        return chosen
    shared = (folder for folder in _SHARED_FOLDERS if _is_for_all(folder))
    return next(shared, cache_dir()) / "tuibench-measuring.lock"


def lock_is_chosen() -> bool:
    """Return whether the user has named the lock file, which containers then may share."""
    return _named("TUIBENCH_LOCK") is not None


def _named(variable: str) -> Path | None:
    """Return the path in an environment variable; None if it is unset or empty."""
    name = os.environ.get(variable)
    return expanded(name) if name else None


def _is_for_all(folder: Path) -> bool:
    """Return whether all users may make files in a folder, and none may remove another's."""
    wanted = stat.S_ISVTX | stat.S_IWOTH
    try:
        return folder.is_dir() and folder.stat().st_mode & wanted == wanted
    except OSError:
        return False
