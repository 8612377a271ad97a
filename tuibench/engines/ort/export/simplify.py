"""A traced program in the words that torch.onnx translates: what it has none for makes it trace all of it once more."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import Node

_aten = torch.ops.aten
_IDENTITIES = frozenset({_aten.detach_.default, _aten.detach.default, _aten.lift_fresh_copy.default})
_CONVERSIONS = frozenset({_aten.to.dtype, _aten.to.device, _aten.to.dtype_layout, _aten.to.other})
_SYNONYMS = {_aten.__and__.Tensor: _aten.bitwise_and.Tensor, _aten.square.default: _aten.mul.Tensor}


def simplify(program: torch.export.ExportedProgram) -> None:
    """Remove what means nothing without training, and write the rest in the one way that can be translated."""
    for node in list(program.graph.nodes):
        if node.op != "call_function":
            continue
        same_type = node.target in _CONVERSIONS and node.args[0].meta["val"].dtype == node.meta["val"].dtype
        if node.target in _IDENTITIES or same_type:
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)
        elif node.target is _aten._assert_tensor_metadata.default:  # noqa: SLF001 - the operator's name
            program.graph.erase_node(node)
        elif node.target in _CONVERSIONS:
            node.target = _aten._to_copy.default  # noqa: SLF001 - the operator's name
            node.args, node.kwargs = node.args[:1], {"dtype": node.meta["val"].dtype}
        elif node.target in _SYNONYMS:
            node.args = node.args if len(node.args) > 1 else 2 * node.args  # a square is a product
            node.target = _SYNONYMS[node.target]
        elif _writes(node) and _is_last_reader(node):
            name = node.target._opname.removesuffix("_")  # noqa: SLF001 - there is no public one
            node.target = getattr(getattr(_aten, name), node.target._overloadname)  # noqa: SLF001


def _alias(node: Node) -> Any:  # noqa: ANN401 - torch's own
    """Return whose memory an operator's first result is; None where it has its own."""
    if not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001 - there is no public name
        return None
    returns = node.target._schema.returns  # noqa: SLF001 - likewise
    return returns[0].alias_info if returns else None


def _writes(node: Node) -> bool:
    """Return whether an operator overwrites its first argument and returns that, as `add_` does."""
    alias = _alias(node)
    return alias is not None and bool(alias.is_write)


def _is_last_reader(writer: Node) -> bool:
    """Return whether nobody reads what an operator overwrites after it, so that it need not be overwritten."""
    reader, memory = writer, writer.args[0]
    while isinstance(memory, Node) and memory.op == "call_function":
        others = [user for user in memory.users if user is not reader]
        if any(_alias(other) is not None or writer < other for other in others):
            return False
        if memory.target is not operator.getitem and _alias(memory) is None:
            return True
        reader, memory = memory, memory.args[0]  # it is a view, or one result of several
        if reader.target is operator.getitem:
            return isinstance(memory, Node) and _alias(memory) is None
    return False
