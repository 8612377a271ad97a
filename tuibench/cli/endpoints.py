"""Servers that run already: from the command line, and from the settings file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.cli.arguments import UsageError
from tuibench.config import load_config
from tuibench.core.run.control import method_of
from tuibench.core.run.endpoint import Endpoint, EndpointError, is_endpoint
from tuibench.methods import UnknownMethodError, resolve_methods
from tuibench.runtimes.environment import installed

if TYPE_CHECKING:
    import argparse

_REMEDY = "; a server is given with --endpoint URL --endpoint-model M, or as [endpoints.NAME] in the settings file"


def given_endpoint(options: argparse.Namespace) -> Endpoint | None:
    """Return the server that the command line names; None where it names none.

    Raises:
        UsageError: It cannot be asked.
    """
    if options.endpoint is None:
        besides = (options.endpoint_model, options.endpoint_key_env, options.endpoint_api)
        if any(value is not None for value in besides):
            raise UsageError("--endpoint-model, --endpoint-api and --endpoint-key-env go with --endpoint URL")
        return None
    if options.endpoint_model is None:
        raise UsageError(
            "--endpoint goes with --endpoint-model M, the model as the server calls it: see its /v1/models"
        )
    endpoint = Endpoint(
        url=options.endpoint,
        model=options.endpoint_model,
        api=options.endpoint_api or "completions",
        key_env=options.endpoint_key_env,
    )
    try:
        endpoint.check()
    except EndpointError as error:
        raise UsageError(str(error)) from error
    return _with_key_at_hand(endpoint)


def named_methods(names: str, given: Endpoint | None) -> tuple[str, ...]:
    """Return the methods of a comma-separated list, and the server of the command line.

    Raises:
        UsageError: A name is unknown.
    """
    known = [*([given.method] if given else []), *(_in_settings() if "endpoint:" in names else ())]
    try:
        named = resolve_methods(names, known, installed())
    except UnknownMethodError as error:
        missing = [name for name in map(str.strip, names.split(",")) if is_endpoint(name) and name not in known]
        raise UsageError(f"{error}{_REMEDY if missing else ''}") from error
    return named if given is None else tuple(dict.fromkeys((*named, given.method)))


def endpoints_of(methods: Iterable[str], given: Endpoint | None) -> tuple[Endpoint, ...]:
    """Return the servers among methods.

    Args:
        methods: That were named.
        given: On the command line.

    Raises:
        UsageError: A key is missing.
    """
    names = dict.fromkeys(method_of(method) for method in methods if is_endpoint(method))
    known = ({given.method: given} if given else {}) | (_in_settings() if any(":" in name for name in names) else {})
    return tuple(_with_key_at_hand(known[name]) for name in names)


def server_here(given: Endpoint | None, measured: Endpoint) -> Endpoint | None:
    """Return the server that is called as a session's is, given on the command line or in the settings.

    Raises:
        UsageError: The settings have one that cannot be asked.
    """
    if given is not None and given.method == measured.method:
        return given
    return _in_settings().get(measured.method) if measured.name else None


def _with_key_at_hand(endpoint: Endpoint) -> Endpoint:
    if endpoint.key_env is not None and not os.environ.get(endpoint.key_env):
        raise UsageError(f"the environment variable that {endpoint.method}'s key is to be in is not set")
    return endpoint


def _in_settings() -> dict[str, Endpoint]:
    """Return the servers of the settings file by method.

    Raises:
        UsageError: One of them cannot be asked; all that is wrong is told.
    """
    loaded = load_config(paths.config_file())
    wrong = [problem for problem in loaded.problems if ": endpoints" in problem]
    if wrong:
        raise UsageError("; ".join(wrong))
    return {endpoint.method: endpoint for endpoint in loaded.config.servers}
