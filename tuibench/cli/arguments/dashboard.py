"""Arguments of the dashboard, which opens where no verb is named."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import model_name, words


def add_dashboard_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the dashboard takes."""
    parser.add_argument(
        "--model", type=model_name, metavar="M", help="hub id, local folder or .gguf file (default: the small sample)"
    )
    parser.add_argument("--theme", type=words, metavar="T", help="name of a theme file")
    parser.add_argument("--color", choices=("truecolor", "256", "16"), help="colours the terminal shows")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    parser.add_argument("--low-bandwidth", action="store_true", help="repaint once a second")
