"""Kernels and the entries that call them, as one object file, whose functions can be called without Numba.

Each entry becomes a function of C, `int64 name(void **arguments)`: it reads its arguments, as `layout` puts them, from
the addresses in the list. All that is linked is optimised once, together, as Numba optimises a function.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llvmlite import ir
from numba import typeof, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from tuibench.engines.fused.compiler import kernel

_I8, _I64 = ir.IntType(8), ir.IntType(64)
_FAILED = -(2**63)


@global_compiler_lock  # type: ignore[untyped-decorator]  # Numba carries no types
def object_file(name: str, entries: Iterable[tuple[Any, tuple[Any, ...]]]) -> bytes:
    """Return machine code for entries, each compiled for arguments like those beside it."""
    library = cpu_target.target_context.codegen().create_library(name)
    library.enable_object_caching()
    module = library.create_ir_module(name)
    for function, arguments in entries:
        compiled = kernel(function.py_func)
        signature = tuple(typeof(argument) for argument in arguments)
        compiled.compile(signature)
        result = compiled.overloads[signature]
        library.add_linking_library(result.library)
        _add_wrapper(module, function.__name__, result.fndesc)
    library.add_ir_module(module)
    library.finalize()
    code: bytes = library._get_compiled_object()  # noqa: SLF001 - what Numba's own cache stores
    return code


def _add_wrapper(module: ir.Module, name: str, description: Any) -> None:
    context = cpu_target.target_context
    kind = ir.FunctionType(_I64, [_I8.as_pointer().as_pointer()])
    wrapper = ir.Function(module, kind, name)
    builder = ir.IRBuilder(wrapper.append_basic_block())
    values = []
    for index, argument in enumerate(description.argtypes):
        place = builder.load(builder.gep(wrapper.args[0], [_I64(index)]))
        values.append(builder.load(builder.bitcast(place, context.get_value_type(argument).as_pointer())))
    function = context.declare_function(module, description)
    status, result = context.call_conv.call_function(
        builder, function, description.restype, description.argtypes, values
    )
    returned = _I64(0) if description.restype is types.none else builder.sext(result, _I64)
    builder.ret(builder.select(status.is_error, _I64(_FAILED), returned))
