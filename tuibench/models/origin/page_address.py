"""The address of a model's page on the Hugging Face hub, as it is pasted from a browser."""

from __future__ import annotations

import re

from tuibench.models.local import ModelError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|(?:www\.)?(?:huggingface\.co|hf\.co)/", re.IGNORECASE)
_PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/"
    r"(?P<id>[\w.-]+/[\w.-]+|[\w.-]+)/?"
    r"(?:(?:tree|blob|resolve|raw|commits?)/(?P<revision>[^/?#]+)(?P<path>/[^?#]*)?)?(?:[?#].*)?",
    re.IGNORECASE,
)


def hub_id(name: str) -> str:
    """Return the hub id that a page's address stands for; any other name as it is.

    Raises:
        ModelError: It is an address, and of something else than the newest version of a model.
    """
    if not _ADDRESS.match(name):
        return name
    page = _PAGE.fullmatch(name)
    if page is None or page["id"].partition("/")[0] in {"datasets", "spaces", "docs"}:
        raise ModelError(f"{name} is not the page of a model; --model takes a hub id such as owner/model, or a folder")
    found, revision, path = page["id"], page["revision"], (page["path"] or "").strip("/")
    if path.lower().endswith(".gguf"):
        raise ModelError(f"{name} is a file on the hub; `hf download {found} {path}`, then give its path")
    if revision not in {None, "main"}:
        raise ModelError(
            f"{name} is the revision {revision}, and only main is pulled by its id; "
            f"`hf download {found} --revision {revision}`, then give the folder that it prints"
        )
    return found
