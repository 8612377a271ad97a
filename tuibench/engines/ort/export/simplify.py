"""A traced program in the words that torch.onnx translates: what it has none for makes it trace all of it once more."""

from __future__ import annotations

import operator

import torch
from torch.fx import Node

_aten = torch.ops.aten
_IDENTITIES = frozenset({_aten.detach_.default, _aten.detach.default, _aten.lift_fresh_copy.default})
_CONVERSIONS = frozenset({_aten.to.dtype, _aten.to.device, _aten.to.dtype_layout, _aten.to.other})
_IN_PLACE = {
    _aten.add_.Tensor: _aten.add.Tensor,
    _aten.div_.Tensor: _aten.div.Tensor,
    _aten.mul_.Tensor: _aten.mul.Tensor,
}
_MAKES = frozenset({_aten.add.Tensor, _aten.mul.Tensor, _aten.bmm.default, _aten.matmul.default, _aten.linear.default})
_VIEWS = frozenset({_aten.squeeze.dim, _aten.squeeze.default, _aten.unsqueeze.default})
_READ_ONLY = frozenset({_aten.sum.dim_IntList})
"""What may read the same before it is overwritten."""
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
        elif node.target in _IN_PLACE and _is_last_reader(node):
            node.target = _IN_PLACE[node.target]


def _is_last_reader(writer: Node) -> bool:
    """Return whether what an operator overwrites was made for it, and nobody reads that after it.

    Of operators whose results are known to lie in memory of their own; of what schemas leave out (`dropout`, which may
    return what it is given) nothing is assumed.
    """
    if len({each.meta["val"].dtype for each in writer.all_input_nodes}) > 1:
        return False  # overwritten, its type stays; a new result has the wider one
    reader, memory = writer, writer.args[0]
    while isinstance(memory, Node) and memory.op == "call_function":
        others = [user for user in memory.users if user is not reader]
        if any(other.target not in _READ_ONLY or writer < other for other in others):
            return False
        if memory.target in _MAKES:
            return True
        if memory.target is operator.getitem:  # one result of several
            source = memory.args[0]
            return isinstance(source, Node) and source.target is _aten.topk.default
        if memory.target not in _VIEWS:
            return False
        reader, memory = memory, memory.args[0]
    return False
