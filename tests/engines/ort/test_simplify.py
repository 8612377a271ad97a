"""Traced programs say the same in other words: results are those of PyTorch, also where memory is overwritten."""

from __future__ import annotations

import operator

import pytest
import torch
from torch.nn import functional

from tuibench.engines.ort.export.simplify import simplify

_aten = torch.ops.aten


def _normalised(x):
    top = torch.topk(x @ x.T, 2).values
    top /= top.sum(dim=-1, keepdim=True)
    return top


def _added_to_a_view(x):
    y = torch.bmm(x[None], x.T[None]).squeeze(0)
    y += 1
    return y * 3


def _read_after(x):
    y = x + 1
    z = y.view(-1)
    z *= 2
    return y * 1


def _dropped_nothing(x):
    y = x * 1
    z = functional.dropout(y, 0.1, training=False)
    z *= 2
    return y * 1


def _wider(x):
    y = x + 1
    y += torch.ones(1, dtype=torch.float64)
    return y


def _masked(x):
    found = x > 0
    found &= x < 1
    return found & (x < 0.5), x.square()


CASES = (_normalised, _added_to_a_view, _read_after, _dropped_nothing, _wider, _masked)


def _simplified(function):
    class Module(torch.nn.Module):
        def forward(self, x):
            return function(x)

    torch.manual_seed(0)
    x = torch.randn(4, 4)
    program = torch.export.export(Module().eval(), (x,))
    simplify(program)
    program.graph.lint()
    program.graph_module.recompile()
    return program, x


@pytest.mark.parametrize("function", CASES)
def test_the_numbers_are_those_of_pytorch(function):
    program, x = _simplified(function)
    ours, theirs = program.module()(x.clone()), function(x.clone())
    for one, other in zip(*(each if isinstance(each, tuple) else (each,) for each in (ours, theirs)), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("function", "gone"),
    [(_normalised, _aten.div_.Tensor), (_added_to_a_view, _aten.add_.Tensor), (_masked, _aten.__and__.Tensor),
     (_masked, _aten.square.default)],
)  # fmt: skip
def test_what_torch_onnx_lacks_is_gone(function, gone):
    program, _ = _simplified(function)
    targets = {node.target for node in program.graph.nodes if node.target is not operator.getitem}
    assert gone not in targets
