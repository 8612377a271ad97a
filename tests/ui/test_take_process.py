"""`tuibench take` as the dashboard follows it, with a program that says what a test wants."""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from tuibench.ui.take_process import TakeFailed, Taken, TakeRequest, TakeStep, take_in_child

REQUEST = TakeRequest("onnx", "tiny", Path("/s.toml"), "min-max", Path("home"))


def program(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(text)
    return [sys.executable, str(path)]


async def followed(command):
    async with aclosing(take_in_child(REQUEST, command)) as events:
        return [event async for event in events]


async def test_it_is_asked_for_what_was_measured_and_its_steps_are_told(tmp_path):
    says = "import sys; print(*sys.argv[1:], file=sys.stderr); print('tuibench: writing', file=sys.stderr)"
    asked, *rest = await followed(program(tmp_path, says))
    words = asked.label.split()
    assert words[:2] == ["take", "onnx"]
    assert dict(zip(words[2::2], words[3::2], strict=True)) == {
        "--model": "tiny",
        "--session": "/s.toml",
        "--calibration-ranges": "min-max",
        "--output": "home",
    }
    assert rest == [TakeStep("writing"), Taken(Path("home"))]


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("import sys; print('tuibench: home: no space left', file=sys.stderr); sys.exit(2)", "home: no space left"),
        ("import os; os.kill(os.getpid(), 9)", "`tuibench take` ended with status -9"),
    ],
)
async def test_why_there_is_no_folder_is_the_last_that_it_says(tmp_path, says, message):
    *_, last = await followed(program(tmp_path, says))
    assert last == TakeFailed(message)


async def test_giving_up_ends_the_child_in_order(tmp_path, descendants):
    left = tmp_path / "cleaned up"
    says = f"""
import pathlib, signal, sys, time
def clean(*_):
    pathlib.Path({str(left)!r}).touch()
    sys.exit(130)
signal.signal(signal.SIGTERM, clean)
print("loading", file=sys.stderr, flush=True)
time.sleep(600)
"""
    async with aclosing(take_in_child(REQUEST, program(tmp_path, says))) as events:
        assert await anext(events) == TakeStep("loading")
        (child,) = descendants()
    assert await asyncio.to_thread(left.exists)
    assert not child.is_running()
