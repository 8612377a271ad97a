"""`tuibench serve`: the dashboard in a browser on this machine."""

from __future__ import annotations

import secrets
import shlex
import socket
import sys
from typing import TYPE_CHECKING

from tuibench.cli import OK
from tuibench.cli.arguments import UsageError

if TYPE_CHECKING:
    import argparse

HOST = "127.0.0.1"
"""Never another: who reaches the page can type into a program that runs here."""


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl+C, and say at which address.

    Raises:
        UsageError: The server is not installed, or the port is taken.
    """
    try:
        from tuibench.cli.web_server import DashboardServer  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed: `pip install 'tuibench[serve]'` adds it") from error
    port = _free_port(options.port)
    token = secrets.token_urlsafe(16)
    print(f"http://{HOST}:{port}/?token={token}", flush=True)
    print(f"from another machine: ssh -L {port}:{HOST}:{port} THIS-MACHINE, then the same address", file=sys.stderr)
    print("Ctrl+C ends the server and what was started in it", file=sys.stderr)
    DashboardServer(_dashboard_command(options), HOST, port, token).serve()
    return OK


def _free_port(wanted: int) -> int:
    """Return the port; with 0, one that is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise UsageError(f"port {wanted}: {error.strerror}; choose another with --port, or 0 for any") from error
        port: int = probe.getsockname()[1]
        return port


def _dashboard_command(options: argparse.Namespace) -> str:
    """Return what is started for each visitor: this dashboard, with the options that stand before `serve`."""
    command = ["env", "TEXTUAL_FPS=30", sys.executable, "-m", "tuibench"]
    for name in ("model", "theme"):
        if value := getattr(options, name):
            command += [f"--{name}", value]
    return shlex.join([*command, *(["--low-bandwidth"] if options.low_bandwidth else [])])
