"""`tuibench doctor`: the machine's part of "why is it slow or fast here", and what would spoil a measurement now."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from tuibench import paths
from tuibench.cli import OK
from tuibench.cli.terminal import EIGHT_BIT, TRUECOLOR, color_system
from tuibench.config import load_config
from tuibench.core import format as fmt
from tuibench.measure.examination import Examination, examine

if TYPE_CHECKING:
    import argparse

_COLOURS = {TRUECOLOR: "16 million colours", EIGHT_BIT: "256 colours"}
_NOT_TOLD = "not available"

Facts = Iterator[tuple[str, str]]


class Terminal(msgspec.Struct, frozen=True):
    """What the dashboard would make of the terminal."""

    term: str
    is_terminal: bool
    colours: str
    """As `--color` spells it."""
    glyphs: str
    over_ssh: bool


def run(options: argparse.Namespace) -> int:
    """Examine the machine and print what was found; problems are told, not punished with an exit code."""
    found = asyncio.run(examine(again=options.remeasure))
    terminal = _terminal()
    if options.format == "json":
        told = {**msgspec.to_builtins(found), "terminal": msgspec.to_builtins(terminal)}
        print(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    else:
        print(fmt.printable("\n".join(_lines(found, terminal))))
    return OK


def _terminal() -> Terminal:
    from tuibench.ui.look.glyphs import detect_glyphs  # noqa: PLC0415 - brings Textual along, which --help must not

    return Terminal(
        term=os.environ.get("TERM", ""),
        is_terminal=sys.stdout.isatty(),
        colours=color_system(os.environ),
        glyphs=detect_glyphs(os.environ),
        over_ssh="SSH_CONNECTION" in os.environ,
    )


def _lines(found: Examination, terminal: Terminal) -> Iterator[str]:
    sections = {
        "machine": _machine(found),
        "for inference": _inference(found),
        "now": _now(found),
        "terminal": _terminal_facts(terminal),
        "settings": (("left out", problem) for problem in load_config(paths.config_file()).problems),
        "libraries": iter(found.machine.libraries.items()),
        "kept on disk": _disk(found),
    }
    for title, facts in sections.items():
        listed = list(facts)
        if listed:
            yield title
            yield from (f"  {name:<22}{value}" for name, value in listed)
            yield ""
    if not found.problems:
        yield "nothing here would make a measurement doubtful now"
        return
    yield "what would make a measurement doubtful now"
    for problem in found.problems:
        yield f"  {problem.lamp}: {problem.what}"
        yield f"    → {problem.remedy}"


def _machine(found: Examination) -> Facts:
    machine = found.machine
    yield "tuibench", f"{found.tuibench_version}, {_commit(found.tuibench_commit)}"
    yield "processor", machine.cpu
    yield "instruction sets", " ".join(machine.isa) or _NOT_TOLD
    several = f", of the last level {machine.n_last_caches}" if (machine.n_last_caches or 1) > 1 else ""
    caches = ", ".join(f"{level} {fmt.size(size)}" for level, size in machine.caches.items())
    yield "caches", f"{caches}{several}" if caches else _NOT_TOLD
    yield "memory", fmt.size(machine.memory_bytes)
    yield "kernel", machine.kernel
    yield "container", machine.container or "none seen"
    yield "virtual machine", machine.virtualisation or "none seen"
    yield "frequency governor", machine.governor or _NOT_TOLD
    yield "huge pages", found.now.huge_pages or _NOT_TOLD


def _commit(commit: str | None) -> str:
    if commit is None:
        return "commit unknown"
    changed = ", with uncommitted changes" if commit.endswith("+") else ""
    return f"commit {commit.removesuffix('+')}{changed}"


def _inference(found: Examination) -> Facts:
    cpus = found.cpus
    cores = fmt.counted(cpus.n_cores, "physical core")
    where = f"on {cores}{' (SMT)' if cpus.smt else ''}"
    if cpus.capacity < cpus.n_allowed:
        where = f"by the quota, anywhere on {fmt.counted(cpus.n_allowed, 'CPU')}, {where}"
    yield "usable CPUs", f"{cpus.capacity:.3g} of {cpus.n_machine}, {where}"
    yield "CPU quota", "none" if cpus.quota is None else fmt.counted(f"{cpus.quota:.3g}", "CPU")
    yield "threads to use", f"{cpus.n_threads_advised} (the default): one per physical core, within the quota"
    speed = found.machine.read_bytes_per_s
    if speed is None:
        yield "read bandwidth", found.bandwidth_failure or _NOT_TOLD
    else:
        yield "read bandwidth", f"{speed / 1e9:.1f} GB/s with {fmt.counted(cpus.n_threads_advised, 'thread')}"
        yield "", f"weights of 100 MB read from memory: at most {speed / 1e8:.0f} tok/s"
    for number, text in enumerate(found.consequences):
        yield "" if number else "instruction sets", text


def _now(found: Examination) -> Facts:
    now = found.now
    yield "other processes", _share(now.others_share, found.cpus.capacity)
    yield "stolen by hypervisor", _share(now.stolen_share, found.cpus.capacity)
    throttled = _NOT_TOLD if now.n_throttled is None else f"{fmt.counted(now.n_throttled, 'period')} so far"
    yield "held back by quota", throttled
    yield "clock rate", _NOT_TOLD if now.clock_khz is None else f"{now.clock_khz / 1e6:.2f} GHz"
    yield "memory free", fmt.size(now.memory_free_bytes)
    if now.memory_limit_bytes is not None:
        yield "memory limit", fmt.size(now.memory_limit_bytes)
    yield "power", _NOT_TOLD if now.on_battery is None else "battery" if now.on_battery else "mains"
    yield "heat counters", "readable" if now.thermal_readable else _NOT_TOLD
    yield "energy (RAPL)", "readable" if now.energy_readable else _NOT_TOLD


def _terminal_facts(terminal: Terminal) -> Facts:
    yield "TERM", terminal.term or "not set"
    yield "colours", _COLOURS.get(terminal.colours, "16 colours")
    yield "characters", "ASCII only; set LANG=C.UTF-8 for more" if terminal.glyphs == "ascii" else terminal.glyphs
    yield "over SSH", "yes" if terminal.over_ssh else "no"
    if not terminal.is_terminal:
        yield "standard output", "no terminal: the dashboard would not open here"


def _disk(found: Examination) -> Facts:
    yield "folder", found.cache_folder
    yield from ((name, fmt.size(size)) for name, size in found.cache_bytes.items())
    yield "free there", fmt.size(found.disk_free_bytes)


def _share(share: float | None, capacity_cpus: float) -> str:
    of_all = "the usable CPU" if capacity_cpus == 1 else f"the {capacity_cpus:.3g} usable CPUs"
    return _NOT_TOLD if share is None else f"{fmt.percent(share, 1)} of {of_all}"
