#!/usr/bin/env bash
# onnxruntime 1.32.0, `quantize_dynamic(per_channel=True, weight_type=QInt8)`, of a model whose head is its embedding.
#
# One would guess that the head is quantised as every other matrix is: in INT8, with a scale for each of its columns,
# and multiplied in INT8.
# That depends on how the graph writes it. As MatMul by Transpose(table), the head shares the lookup's tensor: UINT8,
# ONE scale for the whole table, which the longest rows set. It stays a float MatMul of the dequantised table, which
# the session makes a MatMulNBits of. As Gemm(transB=1), or after `quant_pre_process`, which folds the Transpose, the
# head is a second table of INT8 with a scale for each token, multiplied in INT8; the file is twice as large, and the
# error of the head's logits a fourteenth here. (The lookup has one scale for the whole table in any case.)
#
# For users: two files of one model, both "dynamic INT8, per channel", differ in quality, size and in the kernel whose
# time is taken. Look at the node that makes the logits, and at the number of its scales, before comparing; run
# `quant_pre_process` first where the quality of the head matters.
#
# Output (wrapped):
#   onnxruntime 1.32.0
#     Transpose, MatMul {'the table, scales': [('UINT8', 1)], 'runs as': 'MatMulNBits', "the head's error": 0.141,
#       'bytes': 136510}
#     Gemm {'the table, scales': [('INT8', 2048), ('UINT8', 1)], 'runs as': 'DynamicQuantizeMatMul',
#       "the head's error": 0.0099, 'bytes': 278309}
#     Transpose, MatMul, pre-processed {'the table, scales': [('INT8', 2048), ('UINT8', 1)],
#       'runs as': 'DynamicQuantizeMatMul', "the head's error": 0.0099, 'bytes': 278544}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 sympy==1.14.0
venv/bin/python - 2>messages <<'PYTHON' || { cat messages; exit 1; }
import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

N_TOKENS, WIDTH = 2048, 64
random = np.random.default_rng(0)
TABLE = random.normal(size=(N_TOKENS, WIDTH)).astype(np.float32)
TABLE[:4] *= 20  # a few tokens with long vectors
INNER = (random.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32)
IDS = np.arange(100, 116)


def write(path, head):
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["embedded"]),
        helper.make_node("MatMul", ["embedded", "inner"], ["hidden"]),
    ]
    if head == "Transpose, MatMul":
        nodes.append(helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]))
        nodes.append(helper.make_node("MatMul", ["hidden", "turned"], ["logits"], name="head"))
    else:
        nodes.append(helper.make_node("Gemm", ["hidden", "table"], ["logits"], name="head", transB=1))
    graph = helper.make_graph(
        nodes, "tied", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [
            helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["n", WIDTH]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", N_TOKENS]),
        ],
        [numpy_helper.from_array(TABLE, "table"), numpy_helper.from_array(INNER, "inner")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def run(path, keep):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = keep
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, {"ids": IDS})


def table_tensors(path):
    """{type and number of scales} of each quantised copy of the table."""
    tensors = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    return sorted(
        (TensorProto.DataType.Name(tensor.data_type), int(np.prod(tensors[name.replace("_quantized", "_scale")].dims)))
        for name, tensor in tensors.items()
        if name.endswith("_quantized") and sorted(tensor.dims) == sorted(TABLE.shape)
    )


def head_operator(path):
    return next(node.op_type for node in onnx.load(path).graph.node if "logits" in node.output)


print("onnxruntime", onnxruntime.__version__)
seen = {}
for route in ("Transpose, MatMul", "Gemm", "Transpose, MatMul, pre-processed"):
    write("model.onnx", route.removesuffix(", pre-processed"))
    source = "model.onnx"
    if route.endswith("pre-processed"):
        source = "prepared.onnx"
        quant_pre_process("model.onnx", source)
    quantize_dynamic(source, "quantised.onnx", per_channel=True, weight_type=QuantType.QInt8)
    hidden, logits = run("quantised.onnx", "optimised.onnx")
    expected = hidden @ TABLE.T
    error = np.linalg.norm(logits - expected, axis=0) / np.linalg.norm(expected, axis=0)
    seen[route] = {
        "the table, scales": table_tensors("quantised.onnx"),
        "runs as": head_operator("optimised.onnx"),
        "the head's error": round(float(np.median(error)), 4),
        "bytes": os.path.getsize("quantised.onnx"),
    }
    print(" ", route, seen[route])
shared, gemm, prepared = seen.values()
as_described = (
    shared["the table, scales"] == [("UINT8", 1)]
    and gemm["the table, scales"] == prepared["the table, scales"] == [("INT8", N_TOKENS), ("UINT8", 1)]
    and shared["runs as"] == "MatMulNBits"
    and gemm["runs as"] == prepared["runs as"] == "DynamicQuantizeMatMul"
    and shared["the head's error"] > 5 * max(gemm["the head's error"], prepared["the head's error"])
)
if not as_described:
    raise SystemExit("onnxruntime behaves otherwise now")
PYTHON
