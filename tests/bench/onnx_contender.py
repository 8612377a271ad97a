"""One contender of `bench_onnx`: loads, then runs a trial for every line on its standard input.

Kinds: `method:ID`, `graph:FOLDER` (our fused graph, quantised by somebody else), `export:FOLDER` (the plain export,
quantised by somebody else, all graph optimisations on), `genai:FOLDER` (onnxruntime-genai).
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter

PROMPT = [int(token) for token in range(1000, 1064)]


def open_method(name, model_dir, n_threads):
    from tuibench.methods import engine_class

    engine = engine_class(name)()
    engine.prepare(model_dir, lambda *_: None)
    info = engine.load(model_dir, n_threads, lambda *_: None)
    return lambda n_tokens: decode(engine, n_tokens), info.weight_bytes


def open_graph(folder, model_dir, n_threads):
    from tuibench.engines.decoder.read import read_decoder
    from tuibench.engines.ort.session import DecoderSession, session_options

    session = DecoderSession(Path(folder), read_decoder(model_dir), session_options(n_threads))
    return lambda n_tokens: decode(session, n_tokens), read_bytes(folder)


def open_export(folder, model_dir, n_threads):
    import onnxruntime as ort

    from tuibench.engines.decoder.read import read_decoder
    from tuibench.engines.ort.session import session_options
    from tuibench.engines.ort.unfused_session import UnfusedSession

    session = UnfusedSession(Path(folder), read_decoder(model_dir), session_options(n_threads))
    session._session = ort.InferenceSession(Path(folder) / "model.onnx", session_options(n_threads))
    return lambda n_tokens: decode(session, n_tokens), read_bytes(folder)


def read_bytes(folder):
    """Return the bytes of all matrices that are multiplied: what a token reads of the weights."""
    import onnx

    graph = onnx.load(Path(folder) / "model.onnx", load_external_data=False).graph
    used = {name for node in graph.node if "MatMul" in node.op_type for name in node.input}
    external = [tensor for tensor in graph.initializer if tensor.name in used and tensor.external_data]
    return sum(int(entry.value) for tensor in external for entry in tensor.external_data if entry.key == "length")


def decode(engine, n_tokens):
    start = perf_counter()
    token = int(engine.prefill(PROMPT, len(PROMPT) + n_tokens).argmax())
    stamps = [perf_counter()]
    for _ in range(n_tokens - 1):
        token = int(engine.decode(token).argmax())
        stamps.append(perf_counter())
    return start, stamps


def open_genai(folder, _model_dir, n_threads):
    import onnxruntime_genai as og

    path = Path(folder) / "genai_config.json"
    settings = json.loads(path.read_text())
    options = settings["model"]["decoder"]["session_options"]
    options["intra_op_num_threads"] = n_threads
    path.write_text(json.dumps(settings))
    model = og.Model(folder)

    def run(n_tokens):
        length = len(PROMPT) + n_tokens
        params = og.GeneratorParams(model)
        params.set_search_options(max_length=length, min_length=length, do_sample=False)
        generator = og.Generator(model, params)
        start = perf_counter()
        generator.append_tokens(PROMPT)
        generator.generate_next_token()
        stamps = [perf_counter()]
        while len(stamps) < n_tokens:
            generator.generate_next_token()
            stamps.append(perf_counter())
        return start, stamps

    # The embedding is shared with the head: everything in the file is multiplied.
    return run, (Path(folder) / "model.onnx.data").stat().st_size


def main():
    kind, _, name = sys.argv[1].partition(":")
    openers = {"method": open_method, "graph": open_graph, "export": open_export, "genai": open_genai}
    run, weight_bytes = openers[kind](name, Path(sys.argv[2]), int(sys.argv[3]))
    run(8)
    print("ready", weight_bytes, flush=True)
    for line in sys.stdin:
        start, stamps = run(int(line))
        gaps = [later - earlier for earlier, later in pairwise(stamps)]
        peak = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
        result = {
            "ttft": stamps[0] - start,
            "tpot": (stamps[-1] - stamps[0]) / len(gaps),
            "median": sorted(gaps)[len(gaps) // 2],
            "peak_mb": int(peak.split()[1]) / 1024,
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
