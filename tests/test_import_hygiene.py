"""The run-time twin of the import contracts: a static graph cannot tell a deferred import from one at module scope."""

import subprocess
import sys

import pytest

MODEL_LIBRARIES = ("accelerate", "numpy", "onnx", "onnxruntime", "torch", "transformers")
TERMINAL_LIBRARIES = ("textual", "rich")

HEADLESS = [
    "tuibench.__main__",
    "tuibench.cli",
    "tuibench.cli.models",
    "tuibench.cli.replay",
    "tuibench.cli.run",
    "tuibench.cli.sessions",
    "tuibench.cli.take",
    "tuibench.core.run.state",
    "tuibench.measure.run.measurement",
    "tuibench.methods",
    "tuibench.models.origin.sources",
    "tuibench.models.origin.pull_process",
    "tuibench.models.text.tokenizer",
    "tuibench.store.export",
    "tuibench.store.replay",
    "tuibench.store.session",
]


def loaded_after(statement):
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("module", HEADLESS)
def test_a_headless_module_loads_no_model_library_and_no_terminal_toolkit(module):
    assert not loaded_after(f"import {module}") & {*MODEL_LIBRARIES, *TERMINAL_LIBRARIES}


def test_the_dashboard_loads_no_model_library():
    loaded = loaded_after("import tuibench.ui.app, tuibench.ui.screens.bench")
    assert "textual" in loaded
    assert not loaded & set(MODEL_LIBRARIES)


def test_finding_the_methods_loads_no_model_library():
    statement = "from tuibench.methods import available_methods; assert available_methods()"
    assert not loaded_after(statement) & set(MODEL_LIBRARIES)


def test_help_loads_next_to_nothing():
    statement = "from tuibench.cli.command_line import parser; parser().format_help()"
    much = {"asyncio", "dataclasses", "difflib", "msgspec", "pathlib", "psutil"}
    assert not loaded_after(statement) & {*MODEL_LIBRARIES, *TERMINAL_LIBRARIES, *much}


def test_a_list_of_sessions_needs_no_method_and_no_event_loop():
    assert not loaded_after("import tuibench.cli.sessions") & {"asyncio", "email", "filelock", "logging"}


@pytest.mark.parametrize("verb", ["compare", "export"])
def test_sessions_are_compared_and_exported_without_what_a_live_run_needs(verb):
    statement = f"import tuibench.cli.{verb}; from tuibench.methods import peer_methods; peer_methods()"
    assert not loaded_after(statement) & {"asyncio", "filelock", "http", "logging", "ssl", "xml"}


def test_settings_are_read_without_what_edits_them():
    assert "tomlkit" not in loaded_after("import tuibench.ui.app")
