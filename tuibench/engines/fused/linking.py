"""Machine code out of an object file, ready to be called, without the compiler that made it.

LLVM's loader comes with all of LLVM: 45 MB. What it does with code that may lie anywhere in memory is little: addresses
are filled in. For x86-64 that is done here; other processors' many ways to spell an address are left to LLVM.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
from collections.abc import Mapping
from typing import NamedTuple

_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_MACHINE_X86_64, _RELOCATABLE = 62, 1
_SYMBOLS, _RELOCATIONS, _NO_BITS = 2, 4, 8
_ALLOCATED = 2
_ABSOLUTE_64, _RELATIVE_64 = 1, 24
_UNDEFINED, _FIRST_RESERVED, _COMMON = 0, 0xFF00, 0xFFF2
_READ_AND_RUN = 1 | 4


class LinkingError(Exception):
    """An object file asks for what the loader does not know."""


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    n_bytes: int
    link: int
    info: int
    alignment: int
    entry_bytes: int


class LinkedCode:
    """Code in memory; its functions may be called as long as this is kept."""

    def __init__(self, content: bytes, names: list[str]) -> None:
        """Load an object file, and look up some of its functions.

        Raises:
            LinkingError: It cannot be loaded.
        """
        self.addresses: Mapping[str, int]
        self._memory: object
        if platform.machine() == "x86_64" and content.startswith(b"\x7fELF"):
            self._memory, addresses = _link_elf(content)
            self.addresses = {name: addresses[name] for name in names}
        else:
            self._memory, self.addresses = _link_with_llvm(content, names)


def _link_with_llvm(content: bytes, names: list[str]) -> tuple[object, dict[str, int]]:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(content))
    engine.finalize_object()
    return engine, {name: engine.get_function_address(name) for name in names}


def _link_elf(content: bytes) -> tuple[mmap.mmap, dict[str, int]]:
    """Return the memory that the code is in, and where each of its names is."""
    kind, machine, *_, sections_at, _, _, _, _, _, n_sections, _ = _HEADER.unpack_from(content)
    if (kind, machine) != (_RELOCATABLE, _MACHINE_X86_64):
        raise LinkingError(f"an object file of kind {kind} for machine {machine}")
    sections = [_Section(*_SECTION.unpack_from(content, sections_at + _SECTION.size * i)) for i in range(n_sections)]
    places, n_bytes = _places(sections)
    memory = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for index, place in places.items():
        section = sections[index]
        if section.kind != _NO_BITS:
            memory[place : place + section.n_bytes] = content[section.offset : section.offset + section.n_bytes]
    (table,) = (section for section in sections if section.kind == _SYMBOLS)
    symbols = _symbols(content, table, sections[table.link], {index: start + place for index, place in places.items()})
    for section in sections:
        if section.kind == _RELOCATIONS and section.info in places:
            _relocate(content, section, memory, places[section.info], start, symbols)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(n_bytes), _READ_AND_RUN):
        raise LinkingError(f"the system does not let memory be run as code (error {ctypes.get_errno()})")
    return memory, {name: address for name, address in symbols if address is not None}


def _places(sections: list[_Section]) -> tuple[dict[int, int], int]:
    """Return where in memory each section goes that is needed there, and how many bytes they take in all."""
    places, end = {}, 0
    for index, section in enumerate(sections):
        if section.flags & _ALLOCATED and section.n_bytes:
            end = -(-end // max(1, section.alignment)) * max(1, section.alignment)
            places[index] = end
            end += section.n_bytes
    return places, end


def _symbols(
    content: bytes, table: _Section, names: _Section, bases: Mapping[int, int]
) -> list[tuple[str, int | None]]:
    """Return the name and the address of each symbol; None where it is not in memory, which matters once it is used."""
    process, found = ctypes.CDLL(None), []
    for offset in range(table.offset, table.offset + table.n_bytes, _SYMBOL.size):
        name_at, _, _, section, value, _ = _SYMBOL.unpack_from(content, offset)
        begin = names.offset + name_at
        name = content[begin : content.index(b"\0", begin)].decode()
        if section == _UNDEFINED:
            function = getattr(process, name, None) if name else None
            address = None if function is None else ctypes.cast(function, ctypes.c_void_p).value
        else:
            address = bases[section] + value if section in bases else None
        found.append((name, address))
    return found


def _relocate(
    content: bytes, section: _Section, memory: mmap.mmap, base: int, start: int, symbols: list[tuple[str, int | None]]
) -> None:
    for offset in range(section.offset, section.offset + section.n_bytes, _RELOCATION.size):
        place, info, addend = _RELOCATION.unpack_from(content, offset)
        (name, address), kind = symbols[info >> 32], info & 0xFFFFFFFF
        if address is None or kind not in {_ABSOLUTE_64, _RELATIVE_64}:
            raise LinkingError(f"compiled code refers to {name or 'a section'}, which is not there (by kind {kind})")
        value = address + addend - (start + base + place if kind == _RELATIVE_64 else 0)
        struct.pack_into("<Q", memory, base + place, value & (2**64 - 1))
