#!/usr/bin/env bash
# onnxruntime 1.32.0, CPUExecutionProvider on x86-64, a graph in FLOAT16.
#
# One would guess that a graph whose tensors are all FLOAT16 gives FP16 results: that operators without an FP16 kernel
# are computed in FP32 and what they hand on is rounded to FP16, as the graph says, at least with graph optimisation
# off.
# The session runs the whole chain in FP32 and casts at its two ends only, whatever the level of optimisation. Nothing
# in between is rounded, and nothing overflows at 65,504: an RMS norm of values above 256 comes out right, where FP16
# gives 0 (as onnx's reference evaluator says). With the square as a second output, that one is infinite, and the norm
# that is computed from it is still right. The weights are held in FP32.
#
# For users: perplexity of an FP16 model on a CPU says nothing of overflow or rounding where FP16 is computed, and its
# memory is not that of two bytes a weight. Look for overflow with onnx.reference.ReferenceEvaluator or on the device.
#
# Output (wrapped):
#   onnxruntime 1.32.0 onnx 1.23.2
#     in FP32:                   [1.095, -0.73, 1.461, 0.365]
#     onnx.reference:            [0.0, 0.0, 0.0, 0.0]
#     no optimisation:           [1.096, -0.73, 1.461, 0.365]
#     with the square as output: [1.096, -0.73, 1.461, 0.365] square: [inf, 40000.0, inf, 10000.0]
#     all optimisations: ['Cast', 'Mul', 'ReduceMean', 'Sqrt', 'Div', 'MatMul', 'Cast'], weights held as ['FLOAT']
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

HALF = TensorProto.FLOAT16
X = np.array([[300, -200, 400, 100]], np.float16)
WEIGHTS = np.eye(4, dtype=np.float16)


def rms_norm_and_linear(*outputs):
    """x / sqrt(mean(x²)) @ weights, in FLOAT16 throughout."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["mean"], keepdims=1),
        helper.make_node("Sqrt", ["mean"], ["rms"]),
        helper.make_node("Div", ["x", "rms"], ["norm"]),
        helper.make_node("MatMul", ["norm", "weights"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "norm", [helper.make_tensor_value_info("x", HALF, [1, 4])],
        [helper.make_tensor_value_info(name, HALF, [1, 4]) for name in outputs],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def session(model, level, keep=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    if keep:
        options.optimized_model_filepath = keep
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def rounded(row):
    return row[0].astype(float).round(3).tolist()


print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
level = onnxruntime.GraphOptimizationLevel
model = rms_norm_and_linear("y")
expected = X.astype(np.float32) / np.sqrt(np.mean(X.astype(np.float32) ** 2))
in_half = ReferenceEvaluator(model).run(None, {"x": X})[0]
plain = session(model, level.ORT_DISABLE_ALL).run(None, {"x": X})[0]
y, square = session(rms_norm_and_linear("y", "square"), level.ORT_DISABLE_ALL).run(None, {"x": X})
session(model, level.ORT_ENABLE_ALL, "optimised.onnx")
optimised = onnx.load("optimised.onnx").graph
held = {TensorProto.DataType.Name(tensor.data_type) for tensor in optimised.initializer if tuple(tensor.dims) == (4, 4)}
casts = [node.op_type for node in optimised.node].count("Cast")
print("  in FP32:                  ", rounded(expected))
print("  onnx.reference:           ", rounded(in_half))
print("  no optimisation:          ", rounded(plain))
print("  with the square as output:", rounded(y), "square:", rounded(square))
print(f"  all optimisations: {[node.op_type for node in optimised.node]}, weights held as {sorted(held)}")
as_described = (
    np.all(in_half == 0)
    and np.allclose(plain, expected, rtol=2e-3)
    and np.array_equal(y, plain)
    and np.isinf(square).sum() == 2
    and held == {"FLOAT"}
    and casts == 2
)
if not as_described:
    raise SystemExit("onnxruntime behaves otherwise now")
PYTHON
