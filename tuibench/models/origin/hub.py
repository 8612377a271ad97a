"""Models from the Hugging Face hub: safetensors, configuration and tokenizer, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tuibench.models.cache import Origin, Staging
from tuibench.models.digest import sha256
from tuibench.models.folder import PICKLE_PATTERNS
from tuibench.models.local import ModelError
from tuibench.models.origin.pull_events import OnProgress, PullProgress
from tuibench.models.origin.watch import watching

_TIMEOUT_S = 5.0
_WEIGHTS = ("model.safetensors", "model-*.safetensors")
_SMALL_FILES = ("*.json", "chat_template.jinja", "tokenizer.model", "spiece.model", "merges.txt", "vocab.txt")


@dataclass(frozen=True, slots=True)
class HubSource:
    """One repository of the hub."""

    repo_id: str

    @property
    def title(self) -> str:
        """What a message calls it."""
        return f"the Hugging Face hub ({self.repo_id})"

    def fetch(self, staging: Staging, on_progress: OnProgress) -> Origin:
        """Download the model; files that an earlier attempt finished are not fetched again.

        Raises:
            ModelError: The hub cannot be reached, or has no such model, or no safetensors of it.
        """
        on_progress(PullProgress("asking the Hugging Face hub", 0, None, "steps"))
        info = self._ask()
        files = _wanted(self.repo_id, info.siblings or [])
        target = staging.downloads / f"hub-{info.sha}"
        total = sum(file.size or 0 for file in files)
        with watching(target, "downloading from the hub", total, on_progress):
            self._download(info.sha, [file.rfilename for file in files], target)
        for file in files:
            _verify(target / file.rfilename, file, on_progress)
            (target / file.rfilename).replace(staging.model / file.rfilename)
        return Origin(source=self.repo_id, revision=info.sha)

    def _ask(self) -> Any:  # noqa: ANN401 - huggingface_hub's ModelInfo
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            HTTPError,
            RepositoryNotFoundError,
        )

        try:
            return HfApi().model_info(self.repo_id, files_metadata=True, timeout=_TIMEOUT_S)
        except GatedRepoError as error:
            raise ModelError(
                "its terms must be accepted on its page first, then log in with `hf auth login`"
            ) from error
        except RepositoryNotFoundError as error:
            raise ModelError("there is no such model, or it is private") from error
        except HFValidationError as error:
            raise ModelError("this is not a hub id; one looks like owner/model") from error
        except HfHubHTTPError as error:
            raise ModelError(f"it refused ({_first_line(error)}); try again later") from error
        except (HTTPError, OSError) as error:
            raise ModelError(f"not reachable ({_first_line(error)}); check the network") from error

    def _download(self, revision: str, names: list[str], target: Path) -> None:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HTTPError
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        try:
            snapshot_download(
                self.repo_id, revision=revision, local_dir=target, allow_patterns=names, etag_timeout=_TIMEOUT_S
            )
        except (HTTPError, OSError) as error:
            raise ModelError(f"the download broke off ({_first_line(error)}); pull again to go on") from error


def _wanted(repo_id: str, siblings: list[Any]) -> list[Any]:
    """Return the files of a repository that make a model; sub-folders hold other formats."""
    names = [file.rfilename for file in siblings if "/" not in file.rfilename]
    weights = {name for name in names if any(fnmatch(name, pattern) for pattern in _WEIGHTS)}
    if "model.safetensors" in weights:
        weights = {"model.safetensors"}
    if not weights:
        if any(fnmatch(name, pattern) for name in names for pattern in PICKLE_PATTERNS):
            raise ModelError(
                "it has only pickle weights, which can run any code when opened; use a safetensors version"
            )
        raise ModelError(f"{repo_id} has no model.safetensors; if it has GGUF files, download one and name the file")
    small = {name for name in names if any(fnmatch(name, pattern) for pattern in _SMALL_FILES)}
    return [file for file in siblings if file.rfilename in weights | small]


def _verify(path: Path, file: Any, on_progress: OnProgress) -> None:  # noqa: ANN401 - huggingface_hub's RepoSibling
    """Compare a file with what the hub says about it: SHA-256 of the large ones, size of the small ones."""
    if file.lfs is None:
        intact = path.stat().st_size == file.size
    else:
        size = file.lfs.size
        digest = sha256([path], lambda done: on_progress(PullProgress(f"checking {path.name}", done, size)))
        intact = digest == file.lfs.sha256
    if not intact:
        path.unlink()
        raise ModelError(f"{path.name} arrived damaged; pull again")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
