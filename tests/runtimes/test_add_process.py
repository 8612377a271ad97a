"""Installing a runtime as the dashboard follows it."""

import sys
from contextlib import aclosing

import pytest

from tuibench.models.origin.pull_events import Pulled, PullFailed, PullProgress
from tuibench.runtimes.add_process import add_in_child

SAID = """tuibench: making an environment
tuibench: Collecting xllamacpp==1
tuibench:   Downloading xllamacpp-1.whl (70.0 MB)
tuibench: Installing collected packages: xllamacpp
"""


@pytest.mark.parametrize(
    ("said", "status", "last"),
    [
        ("tuibench: trying it\ntuibench: llama.cpp is installed, 101 MiB\n", 0, Pulled("llama-cpp")),
        ("tuibench: it cannot be installed: no network\n", 1, PullFailed("it cannot be installed: no network")),
        ("", 1, PullFailed("Installing collected packages: xllamacpp")),
    ],
)
async def test_its_steps_are_told_and_how_it_ended(tmp_path, said, status, last):
    program = tmp_path / "program.py"
    program.write_text(f"import sys\nsys.stderr.write({SAID + said!r})\nsys.exit({status})\n")
    async with aclosing(add_in_child("llama-cpp", (sys.executable, "-S", str(program)))) as events:
        found = [event async for event in events]
    assert found[-1] == last
    steps = [event.label for event in found[:-1] if isinstance(event, PullProgress)]
    assert list(dict.fromkeys(steps))[:3] == ["making an environment", "downloading", "installing"]
