"""Arguments in memory as compiled code reads them: what Numba makes of numbers, arrays and tuples, without Numba.

An array is a record of where it is and how long it is in each direction, a tuple the records of its fields in order,
each aligned as in C. `kind_of` spells out all that the code was compiled for; memory of another kind would be misread.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMBERS: dict[type, tuple[str, Any]] = {
    bool: ("bool", ctypes.c_bool),
    int: ("int", ctypes.c_int64),
    float: ("float", ctypes.c_double),
}


def kind_of(value: Any) -> str:
    """Return the kind of an argument: the type of a number or of an array's, its dimensions; of a tuple, of each field.

    Raises:
        TypeError: Compiled code takes no such thing.
    """
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous:
            raise TypeError("compiled code takes arrays that lie in one piece")
        return f"{value.dtype.str}[{value.ndim}]"
    if isinstance(value, tuple):
        return f"{type(value).__name__}({','.join(kind_of(field) for field in value)})"
    if type(value) not in _NUMBERS:
        raise TypeError(f"compiled code takes no {type(value).__name__}")
    return _NUMBERS[type(value)][0]


def record_of(value: Any) -> Any:
    """Return an argument in memory; the arrays it names must be kept as long as it is used."""
    if isinstance(value, np.ndarray):
        return _array_record(value)
    if isinstance(value, tuple):
        fields = [record_of(field) for field in value]
        return _tuple_type(tuple(type(field) for field in fields))(*fields)
    return _NUMBERS[type(value)][1](value)


def _array_record(array: NDArray[Any]) -> Any:
    kind = _array_type(array.ndim)
    return kind(None, None, array.size, array.itemsize, array.ctypes.data, array.shape, array.strides)


@cache
def _array_type(n_dimensions: int) -> Any:
    class _Array(ctypes.Structure):
        _fields_ = (
            ("meminfo", ctypes.c_void_p),
            ("parent", ctypes.c_void_p),
            ("nitems", ctypes.c_int64),
            ("itemsize", ctypes.c_int64),
            ("data", ctypes.c_void_p),
            ("shape", ctypes.c_int64 * n_dimensions),
            ("strides", ctypes.c_int64 * n_dimensions),
        )

    return _Array


@cache
def _tuple_type(fields: tuple[Any, ...]) -> Any:
    class _Tuple(ctypes.Structure):
        _fields_ = tuple((f"field_{index}", field) for index, field in enumerate(fields))

    return _Tuple
