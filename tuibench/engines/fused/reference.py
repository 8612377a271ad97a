"""Tuples of arrays handed on as an address. By value, a model is 300 numbers in every call from kernel to kernel."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, register_model

_MOST_BY_VALUE = 4
"""Fields of a tuple within a tuple that is read as a whole."""


class Reference(types.Type):  # type: ignore[misc]  # Numba carries no types, here and below
    """Where a named tuple is; its fields are read from there, of wide ones only the address is taken."""

    def __init__(self, target: Any) -> None:
        self.target = target
        super().__init__(f"Reference({target})")

    def field(self, name: str) -> tuple[int, Any]:
        """Return a field's index and what reading it gives."""
        index = self.target.fields.index(name)
        kind = self.target.types[index]
        is_wide = isinstance(kind, types.BaseNamedTuple) and len(kind.fields) > _MOST_BY_VALUE
        return index, Reference(kind) if is_wide else kind


@register_model(Reference)
class _ReferenceModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, reference: Reference) -> None:
        super().__init__(manager, reference, manager.lookup(reference.target).get_value_type().as_pointer())


@infer_getattr
class _Fields(AttributeTemplate):  # type: ignore[misc]
    key = Reference

    def generic_resolve(self, reference: Reference, name: str) -> Any:
        return reference.field(name)[1] if name in reference.target.fields else None


@lower_getattr_generic(Reference)  # type: ignore[untyped-decorator]
def _read_field(_context: Any, builder: Any, reference: Reference, address: Any, name: str) -> Any:
    index, kind = reference.field(name)
    place = cgutils.gep_inbounds(builder, address, 0, index)
    return place if isinstance(kind, Reference) else builder.load(place)


@intrinsic  # type: ignore[untyped-decorator]
def by_reference(_context: Any, target: Any) -> Any:
    """Return a stand-in for a named tuple, which lasts as long as the function that asks for it."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return cgutils.alloca_once_value(builder, arguments[0])

    return Reference(target)(target), generate
