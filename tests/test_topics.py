"""The manual: every page is reachable, and what it says of limits, words and methods is what the program does."""

import os
import re
import shlex
from pathlib import Path

import pexpect
import pytest

from tests.cli.test_command_line import one_line_error, tuibench
from tests.terminal import TUIBENCH
from tuibench.cli.command_line import VERBS
from tuibench.core.machine.validity import LIMITS
from tuibench.topics import text, topics

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_each_page_in_the_folder_is_listed_once_with_its_title():
    folder = Path(__file__).parents[1] / "tuibench" / "topics"
    assert sorted(page.name for page in topics()) == sorted(file.stem for file in folder.glob("*.md"))
    assert all(page.title for page in topics())


def test_help_lists_all_pages_and_prints_one_as_it_is():
    listed = tuibench("help")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [page.name for page in topics()]
    assert tuibench("help", "lamps").stdout == text("lamps")


def test_a_person_at_a_terminal_reads_it_laid_out():
    environment = {**os.environ, "PAGER": "cat", "LC_ALL": "C.UTF-8"}
    seen = pexpect.run(shlex.join([*TUIBENCH, "help", "lamps"]), env=environment).decode()
    assert "other processes used the CPU" in seen
    assert "| lamp |" not in seen


def test_help_on_a_command_is_its_own_help():
    assert tuibench("help", "replay").stdout == tuibench("replay", "--help").stdout


def test_a_near_miss_is_told():
    assert "did you mean lamps?" in one_line_error(tuibench("help", "lamp"))
    assert "lists the topics" in one_line_error(tuibench("help", "\N{SNOWMAN}"))


@pytest.mark.parametrize("page", [page.name for page in topics()])
def test_the_readme_links_each_page(page):
    assert f"tuibench/topics/{page}.md" in README


def test_every_link_of_readme_and_manual_leads_to_a_file():
    root = Path(__file__).parents[1]
    pages = {root / "README.md": README, **{root / "tuibench/topics" / f"{p.name}.md": text(p.name) for p in topics()}}
    for place, markdown in pages.items():
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", markdown):
            assert (place.parent / target).exists(), f"{place.name}: {target}"


def test_every_command_that_readme_and_manual_show_exists():
    shown = [README, *(text(page.name) for page in topics())]
    named = {verb for page in shown for verb in re.findall(r"^tuibench ([a-z-]+)\b", page, flags=re.MULTILINE)}
    assert named
    assert named <= set(VERBS)


def _limit(value, *, share):
    if value is None:
        return "–"
    return f"{value:.0%}".replace("%", " %") if share else f"{value:,g}"


@pytest.mark.parametrize(
    ("name", "words", "unit"),
    [
        ("others", "other processes used the CPU", "%"),
        ("stolen", "CPU time stolen by the hypervisor", "%"),
        ("observer", "dashboard and samplers used the CPU", "%"),
        ("throttled", "periods in which the CPU quota held threads back", ""),
        ("clock", "the clock rate fell", "%"),
        ("swapped", "pages that the machine swapped", ""),
        ("major_faults", "waits of the worker for the disk", ""),
    ],
)
def test_the_limits_of_the_lamps_are_those_of_the_manual(name, words, unit):
    limits = LIMITS[name]
    row = f"| {words} | {_limit(limits.yellow, share=unit == '%')} | {_limit(limits.red, share=unit == '%')} |"
    assert row in text("lamps")
