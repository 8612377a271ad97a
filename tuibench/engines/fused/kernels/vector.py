"""Kernels over one vector of one token: norms, rotation, activations. `n` is its length."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from tuibench.engines.fused.activations import GELU, GELU_TANH, RELU, RELU_SQUARED
from tuibench.engines.fused.compiler import kernel

Vector = NDArray[np.float32]

_LOG2_E = np.float32(1.4426950408889634)
_LN_2 = np.float32(0.6931471805599453)
_EXP_SMALLEST = np.float32(-87.0)
_EXP_LARGEST = np.float32(88.0)
_EXPONENT_BIAS = 127
_MANTISSA_BITS = 23
_SIGN_BIT = np.int32(31)
_WITHOUT_SIGN = np.int32(0x7FFFFFFF)
_SQRT_2_OVER_PI = np.float32(0.7978845608028654)
_GELU_CUBIC = np.float32(0.044715)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_TANH_LARGEST = np.float32(7.90531110763549805)
"""Beyond it, `tanh` is 1 in FP32."""
_SQRT_HALF = np.float32(0.7071067811865476)
_ERF_LARGEST = np.float32(4)
"""Beyond it, `erf` is 1 in FP32."""


@intrinsic  # type: ignore[untyped-decorator]  # Numba carries no types
def float_of_bits(_context: Any, _bits: Any) -> Any:
    """Read 32 bits as a float."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@kernel
def exponential(x: np.float32) -> np.float32:
    """`eˣ = 2ⁿ · eʳ`, n whole, |r| ≤ ln 2 / 2; relative error ≤ 2e-6. No call, so that loops around it vectorise.

    The polynomial is that of Cephes' `expf` (Moshier).
    """
    x = min(max(x, _EXP_SMALLEST), _EXP_LARGEST)
    n = np.floor(x * _LOG2_E + _HALF)
    r = x - n * _LN_2
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + _HALF
    power = float_of_bits(np.int32((np.int32(n) + np.int32(_EXPONENT_BIAS)) << _MANTISSA_BITS))
    return np.float32((p * r * r + r + _ONE) * power)


@kernel
def tanh(x: np.float32) -> np.float32:
    """`tanh x`, within a few units of the last place; no call, so that loops around it vectorise.

    The quotient of polynomials is that of Eigen's `ptanh`. One of exponentials would be rounded to steps of 1, and caps
    multiply that by up to 50.
    """
    x = min(max(x, -_TANH_LARGEST), _TANH_LARGEST)
    square = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * square + np.float32(2.00018790482477e-13)
    p = p * square + np.float32(-8.60467152213735e-11)
    p = p * square + np.float32(5.12229709037114e-08)
    p = p * square + np.float32(1.48572235717979e-05)
    p = p * square + np.float32(6.37261928875436e-04)
    p = p * square + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * square + np.float32(1.18534705686654e-04)
    q = q * square + np.float32(2.26843463243900e-03)
    q = q * square + np.float32(4.89352518554385e-03)
    return np.float32(x * p / q)


@kernel
def erf(x: np.float32) -> np.float32:
    """The error function, absolute error ≤ 5e-7; no call, as above.

    The quotient of polynomials is that of Eigen's `perf` before version 5.
    """
    x = min(max(x, -_ERF_LARGEST), _ERF_LARGEST)
    square = x * x
    p = np.float32(-2.72614225801306e-10)
    p = p * square + np.float32(2.77068142495902e-08)
    p = p * square + np.float32(-2.10102402082508e-06)
    p = p * square + np.float32(-5.69250639462346e-05)
    p = p * square + np.float32(-7.34990630326855e-04)
    p = p * square + np.float32(-2.95459980854025e-03)
    p = p * square + np.float32(-1.60960333262415e-02)
    q = np.float32(-1.45660718464996e-05)
    q = q * square + np.float32(-2.13374055278905e-04)
    q = q * square + np.float32(-1.68282697438203e-03)
    q = q * square + np.float32(-7.37332916720468e-03)
    q = q * square + np.float32(-1.42647390514189e-02)
    return np.float32(x * p / q)


@kernel
def cap(x: Vector, scale: np.float32, softcap: np.float32) -> None:
    """`x = softcap · tanh(scale · x / softcap)`"""
    factor = scale / softcap
    for i in range(x.size):
        x[i] = softcap * tanh(x[i] * factor)


@kernel
def largest_magnitude(x: Vector) -> np.float32:
    """`max |x|`; NaN counts as larger than all."""
    # Without their signs, floats are in the order of their bits; and a maximum of 32-bit whole numbers vectorises.
    bits, largest = x.view(np.int32), np.int32(0)
    for k in range(x.size):
        largest = max(largest, np.int32(bits[k] & _WITHOUT_SIGN))
    return np.float32(float_of_bits(largest))


@kernel
def largest_of(x: Vector) -> np.float32:
    """`max x`, of at least one number."""
    # As above; turned, the bits of negative floats are in order, too. Turning them once more turns them back.
    bits, largest = x.view(np.int32), np.int32(-(2**31))
    for k in range(x.size):
        largest = max(largest, np.int32(bits[k] ^ ((bits[k] >> _SIGN_BIT) & _WITHOUT_SIGN)))
    return np.float32(float_of_bits(np.int32(largest ^ ((largest >> _SIGN_BIT) & _WITHOUT_SIGN))))


@kernel
def rms_norm(x: Vector, weight: Vector, epsilon: float, out: Vector) -> None:
    """`out = x / √(mean(x²) + ε) · weight`"""
    total = np.float32(0)
    for i in range(x.size):
        total += x[i] * x[i]
    scale = _ONE / np.sqrt(total / np.float32(x.size) + np.float32(epsilon))
    for i in range(x.size):
        out[i] = x[i] * scale * weight[i]


@kernel
def layer_norm(x: Vector, weight: Vector, bias: Vector, epsilon: float, out: Vector) -> None:
    """`out = (x − mean(x)) / √(variance(x) + ε) · weight + bias`"""
    total = np.float32(0)
    for i in range(x.size):
        total += x[i]
    mean = total / np.float32(x.size)
    squares = np.float32(0)
    for i in range(x.size):
        squares += (x[i] - mean) * (x[i] - mean)
    scale = _ONE / np.sqrt(squares / np.float32(x.size) + np.float32(epsilon))
    for i in range(x.size):
        out[i] = (x[i] - mean) * scale * weight[i] + bias[i]


@kernel
def norm(x: Vector, weight: Vector, bias: Vector, epsilon: float, out: Vector) -> None:
    """Layer norm where there is a bias, RMS norm where it is empty; where there is no weight, either, a copy."""
    if bias.size:
        layer_norm(x, weight, bias, epsilon, out)
    elif weight.size:
        rms_norm(x, weight, epsilon, out)
    else:
        copy(x, out)


@kernel
def rotate(head: Vector, cosine: Vector, sine: Vector, out: Vector) -> None:
    """Turn the pairs `(head[i], head[i + n/2])` by the angles of one position (Su et al. 2021); empty tables: copy."""
    half = head.size // 2
    if cosine.size == 0:
        for i in range(head.size):
            out[i] = head[i]
        return
    # Two loops: with all four places in one, LLVM finds too many that might overlap, and vectorises nothing.
    for i in range(half):
        out[i] = head[i] * cosine[i] - head[half + i] * sine[i]
    for i in range(half):
        out[half + i] = head[half + i] * cosine[i] + head[i] * sine[i]


@kernel
def silu_gate(gate_up: Vector, out: Vector) -> None:
    """`out[i] = g / (1 + e⁻ᵍ) · u`, where g and u lie side by side in `gate_up[2i], gate_up[2i + 1]`."""
    for i in range(out.size):
        gate = gate_up[2 * i]
        out[i] = gate / (_ONE + exponential(-gate)) * gate_up[2 * i + 1]


@kernel
def limited_silu_gate(gate_up: Vector, slope: np.float32, offset: np.float32, limit: np.float32, out: Vector) -> None:
    """`out[i] = g / (1 + e^(−slope · g)) · (u + offset)` where `g ≤ limit`, `|u| ≤ limit`; see `silu_gate`."""
    for i in range(out.size):
        gate, up = min(gate_up[2 * i], limit), min(max(gate_up[2 * i + 1], -limit), limit)
        out[i] = gate / (_ONE + exponential(-slope * gate)) * (up + offset)


@kernel
def gelu_gate(gate_up: Vector, out: Vector) -> None:
    """`out[i] = gelu(g) · u`, see `silu_gate` and `gelu_tanh`."""
    for i in range(out.size):
        gate = gate_up[2 * i]
        inner = _SQRT_2_OVER_PI * (gate + _GELU_CUBIC * gate * gate * gate)
        out[i] = gate / (_ONE + exponential(np.float32(-2) * inner)) * gate_up[2 * i + 1]


@kernel
def gelu_tanh(x: Vector, out: Vector) -> None:
    """`out = x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`, as GPT-2 has it; `(1 + tanh z) / 2 = 1 / (1 + e⁻²ᶻ)`."""
    for i in range(out.size):
        inner = _SQRT_2_OVER_PI * (x[i] + _GELU_CUBIC * x[i] * x[i] * x[i])
        out[i] = x[i] / (_ONE + exponential(np.float32(-2) * inner))


@kernel
def gelu(x: Vector, out: Vector) -> None:
    """`out = x/2 · (1 + erf(x / √2))` (Hendrycks and Gimpel 2016)"""
    for i in range(out.size):
        out[i] = _HALF * x[i] * (_ONE + erf(x[i] * _SQRT_HALF))


@kernel
def relu(x: Vector, out: Vector) -> None:
    """`out = max(x, 0)`"""
    for i in range(out.size):
        out[i] = max(x[i], np.float32(0))


@kernel
def relu_squared(x: Vector, out: Vector) -> None:
    """`out = max(x, 0)²`"""
    for i in range(out.size):
        positive = max(x[i], np.float32(0))
        out[i] = positive * positive


@kernel
def activate(x: Vector, activation: int, gated: bool, out: Vector) -> None:
    """Apply an activation, where gated that of every other element, with which its neighbour is multiplied."""
    if gated:
        if activation == GELU_TANH:
            gelu_gate(x, out)
        else:
            silu_gate(x, out)
    elif activation == RELU_SQUARED:
        relu_squared(x, out)
    elif activation == RELU:
        relu(x, out)
    elif activation == GELU:
        gelu(x, out)
    else:
        gelu_tanh(x, out)


@kernel
def add(x: Vector, update: Vector) -> None:
    """`x += update`"""
    for i in range(x.size):
        x[i] += update[i]


@kernel
def multiply_by(x: Vector, factors: Vector) -> None:
    """`x *= factors`"""
    for i in range(x.size):
        x[i] *= factors[i]


@kernel
def products(x: Vector, y: Vector, out: Vector) -> None:
    """`out = x · y`, element by element"""
    for i in range(out.size):
        out[i] = x[i] * y[i]


@kernel
def add_products(x: Vector, y: Vector, out: Vector) -> None:
    """`out += x · y`, element by element"""
    for i in range(out.size):
        out[i] += x[i] * y[i]


@kernel
def scale_by(x: Vector, factor: np.float32) -> None:
    """`x *= factor`"""
    for i in range(x.size):
        x[i] *= factor


@kernel
def weighted_add(x: Vector, factor: np.float32, update: Vector) -> None:
    """`x += factor · update`"""
    for i in range(x.size):
        x[i] += factor * update[i]


@kernel
def copy(x: Vector, out: Vector) -> None:
    """`out = x`; NumPy's way to say it would allocate memory, in case that both overlap."""
    for i in range(x.size):
        out[i] = x[i]
