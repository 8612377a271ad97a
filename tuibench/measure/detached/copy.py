"""A growing copy of a session that is measured on a host: whoever follows a file follows the run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

from tuibench.measure.detached.far import FarStore
from tuibench.measure.detached.job import JobState
from tuibench.measure.hosts.host import HostUnusableError
from tuibench.store.under_way import Claim

_POLL_S = 0.5
_PATIENCE_S = 3.0


class SessionCopy:
    """Grows in a thread between `with` and its end, or until the run is over."""

    def __init__(self, far: FarStore, job: str, folder: Path) -> None:
        """Copy what is there; the conversation is this copy's alone from now on.

        Args:
            far: The host.
            job: The run.
            folder: For the copy.

        Raises:
            HostUnusableError: The host is gone.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._far = far
        self._job = job
        self._file = folder / f"{job}.toml"
        self._file.unlink(missing_ok=True)
        self._claim = Claim(self._file)
        self._ended = threading.Event()
        self.lost: str | None = None
        """Why no more comes, where the run is not over."""
        self.state: JobState = far.copy_more(job, self._file)
        """How the run stood when it was copied last."""
        self._thread = threading.Thread(target=self._grow, daemon=True)

    @property
    def path(self) -> Path | None:
        """The copy; None while the run has no result yet."""
        return self._file if self._file.exists() else None

    def __enter__(self) -> Self:
        """Go on copying."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End copying, and remove the copy; the run goes on."""
        self._ended.set()
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():  # a network that fails says nothing
            self._far.give_up()
            self._thread.join()
        self._file.unlink(missing_ok=True)

    def _grow(self) -> None:
        try:
            while not self.state.over and not self._ended.wait(_POLL_S):
                self.state = self._far.copy_more(self._job, self._file)
        except HostUnusableError as error:
            self.lost = str(error)
        finally:
            self._claim.give_up()
