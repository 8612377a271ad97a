#!/usr/bin/env bash
# onnxruntime 1.32.0, CPU, operator com.microsoft.GroupQueryAttention in FP32.
#
# One would guess that the CPU's attention takes heads of any width, as MultiHeadAttention does, or that a graph which it
# cannot run is refused when the session is made.
# The width has to be a multiple of 8, and of 16 with `do_rotary=1`. The session is made without complaint; the first
# run raises. A width of 100 (3,200 over 32 heads) never runs, one of 120 runs only if the rotation is a node of its own.
#
# For users: run an exported model once before believing in it. Rotate by the RotaryEmbedding operator for multiples of 8;
# take MultiHeadAttention for other widths.
#
# Why: contrib_ops/cpu/bert/group_query_attention_helper.h checks `head_size % 8`, and `% 16` where there is a cos_cache.
# The operator's documentation names neither.
#
# Output (wrapped):
#   heads 100 wide
#     MultiHeadAttention: right
#     GroupQueryAttention: head_size must be a multiple of 8. Got head_size % 8 == 4
#     the same, do_rotary=1: head_size must be a multiple of 8. Got head_size % 8 == 4
#   heads 120 wide
#     MultiHeadAttention: right
#     GroupQueryAttention: right
#     the same, do_rotary=1: head_size shall be a multiple of 16. Got head_size % 16 == 8
#   heads 128 wide: all three right
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
venv/bin/python - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

N_TOKENS, N_HEADS = 5, 2


def session(operator, head_width, n_inputs, **attributes):
    width = N_HEADS * head_width
    past = ["batch", N_HEADS, "past", head_width]
    table = [N_TOKENS, head_width // 2]
    inputs = [
        ("query", TensorProto.FLOAT, [1, "tokens", width]),
        ("key", TensorProto.FLOAT, [1, "tokens", width]),
        ("value", TensorProto.FLOAT, [1, "tokens", width]),
        ("past_key", TensorProto.FLOAT, past),
        ("past_value", TensorProto.FLOAT, past),
        ("seqlens_k", TensorProto.INT32, [1]),
        ("total_sequence_length", TensorProto.INT32, [1]),
        ("cos_cache", TensorProto.FLOAT, table),
        ("sin_cache", TensorProto.FLOAT, table),
    ][:n_inputs]
    outputs = [("output", TensorProto.FLOAT, [1, "tokens", width])]
    if operator == "GroupQueryAttention":
        present = ["batch", N_HEADS, "present", head_width]
        outputs += [("present_key", TensorProto.FLOAT, present), ("present_value", TensorProto.FLOAT, present)]
    node = helper.make_node(
        operator, [name for name, *_ in inputs], [name for name, *_ in outputs], domain="com.microsoft", **attributes
    )
    graph = helper.make_graph(
        [node], "attention",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def feeds(head_width):
    random = np.random.default_rng(0)
    angles = np.outer(np.arange(N_TOKENS), 10000.0 ** -(np.arange(0, head_width, 2) / head_width))
    texts = {name: random.standard_normal((1, N_TOKENS, N_HEADS * head_width), dtype=np.float32)
             for name in ("query", "key", "value")}
    nothing = np.zeros((1, N_HEADS, 0, head_width), np.float32)
    return texts | {
        "past_key": nothing, "past_value": nothing,
        "seqlens_k": np.array([N_TOKENS - 1], np.int32),
        "total_sequence_length": np.array([N_TOKENS], np.int32),
        "cos_cache": np.cos(angles).astype(np.float32), "sin_cache": np.sin(angles).astype(np.float32),
    }


def by_hand(values, rotary):
    query, key, value = (values[name].reshape(N_TOKENS, N_HEADS, -1).swapaxes(0, 1) for name in ("query", "key", "value"))
    if rotary:
        cos, sin = values["cos_cache"], values["sin_cache"]
        query, key = (
            np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
            for first, second in (np.split(heads, 2, axis=-1) for heads in (query, key))
        )
    scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
    scores = np.exp(np.where(np.tri(N_TOKENS, dtype=bool), scores, -np.inf))
    weighted = scores / scores.sum(-1, keepdims=True) @ value
    return weighted.swapaxes(0, 1).reshape(1, N_TOKENS, -1)


def outcome(operator, head_width, n_inputs, **attributes):
    values = feeds(head_width)
    attention = session(operator, head_width, n_inputs, **attributes)
    wanted = {value.name for value in attention.get_inputs()}
    try:
        output = attention.run(["output"], {name: value for name, value in values.items() if name in wanted})[0]
    except InvalidArgument as error:
        return str(error).rsplit("Status Message: ", 1)[1]
    right = np.allclose(output, by_hand(values, attributes.get("do_rotary", 0)), atol=1e-4)
    return "right" if right else "wrong"


print("onnxruntime", onnxruntime.__version__)
grouped = {"num_heads": N_HEADS, "kv_num_heads": N_HEADS}
of_8, of_16 = "head_size must be a multiple of 8. Got", "head_size shall be a multiple of 16. Got"
changed = False
for head_width, expected in {
    100: ("right", of_8, of_8), 120: ("right", "right", of_16), 128: ("right", "right", "right"),
}.items():
    seen = (
        outcome("MultiHeadAttention", head_width, 3, num_heads=N_HEADS, unidirectional=1),
        outcome("GroupQueryAttention", head_width, 7, **grouped),
        outcome("GroupQueryAttention", head_width, 9, do_rotary=1, **grouped),
    )
    print(f"heads {head_width} wide")
    for name, text in zip(("MultiHeadAttention", "GroupQueryAttention", "the same, do_rotary=1"), seen, strict=True):
        print(f"  {name}: {text}")
    changed |= not all(text.startswith(start) for text, start in zip(seen, expected, strict=True))
if changed:
    raise SystemExit("onnxruntime behaves otherwise now")
PYTHON
