import random
import struct
import tracemalloc

import pytest

from tuibench.models.local import ModelError
from tuibench.models.origin.gguf.header import StoredTensor, read_header


def string(text):
    return struct.pack("<Q", len(text)) + text


def entry(key, kind, content):
    return string(key) + struct.pack("<I", kind) + content


def array(kind, n, content=b""):
    return struct.pack("<IQ", kind, n) + content


def gguf(entries=(), tensors=(), *, n_entries=None, n_tensors=None, version=3):
    n_entries = len(entries) if n_entries is None else n_entries
    n_tensors = len(tensors) if n_tensors is None else n_tensors
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_entries) + b"".join((*entries, *tensors))


TENSOR = string(b"t") + struct.pack("<IQQIQ", 2, 2, 3, 0, 0)
HONEST = gguf(
    [
        entry(b"name", 8, string(b"tiny")),
        entry(b"n", 4, struct.pack("<I", 7)),
        entry(b"words", 9, array(8, 2, string(b"a") + string(b"b"))),
        entry(b"scores", 9, array(6, 2, bytes(8))),
    ],
    [TENSOR],
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


def test_an_honest_header_is_read(path):
    path.write_bytes(HONEST + bytes(24))
    header = read_header(path)
    assert header.metadata == {"name": "tiny", "n": 7, "words": None, "scores": (0.0, 0.0)}
    assert header.array_lengths == {"words": 2, "scores": 2}
    begin = -(-len(HONEST) // 32) * 32
    assert header.tensors == {"t": StoredTensor("t", (3, 2), 0, begin)}


def test_array_with_an_item_a_token_is_counted_only(path):
    path.write_bytes(gguf([entry(b"scores", 9, array(6, 100_000, bytes(400_000)))]))
    header = read_header(path)
    assert header.metadata == {"scores": None}
    assert header.array_lengths == {"scores": 100_000}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (gguf(version=1), r"model.gguf is a GGUF file of version 1, of August 2023; convert the model to GGUF again"),
        (gguf(version=3 << 24), r"model.gguf is a big-endian GGUF file; use the little-endian one, or .*"),
        (gguf([entry(b"split.count", 2, struct.pack("<H", 3))]), r"model.gguf is one of 3 parts .* --merge .*"),
        (gguf(tensors=[TENSOR, TENSOR]), r"model.gguf is not .*: two of its tensors have the same name; .*"),
        (gguf([entry(b"general.alignment", 4, bytes(4))]), r"model.gguf is not .*: its general.alignment is 0; .*"),
    ],
)
def test_a_file_that_is_not_one_model_is_refused_with_a_remedy(path, content, line):
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"^{line}$"):
        read_header(path)


def test_a_part_is_known_by_its_name(tmp_path):
    path = tmp_path / "model-00002-of-00003.gguf"
    path.write_bytes(HONEST)
    with pytest.raises(ModelError, match=r"^model-00002-of-00003.gguf is one of 3 parts .*llama-gguf-split --merge"):
        read_header(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "GGUF"),
        (b"PK\x03\x04", "GGUF"),
        (b"GGUF", "cut off"),
        (gguf(version=4), "version 4"),
        (gguf(n_entries=2**63), "entries"),
        (gguf(n_tensors=2**63), "tensors"),
        (gguf([struct.pack("<Q", 2**62)]), "one text"),
        (gguf([struct.pack("<Q", 1000)]), "longer than the file"),
        (gguf([entry(b"a", 9, array(6, 2**62))]), "items"),
        (gguf([entry(b"a", 9, array(6, 2**22))]), "longer than the file"),
        (gguf([entry(b"a", 9, array(8, 2**22))]), "cut off"),
        (gguf([entry(b"a", 9, array(9, 1))]), "array of arrays"),
        (gguf([entry(b"a", 77, b"")]), "unknown type"),
        (gguf(tensors=[string(b"t") + struct.pack("<I", 2**31)]), "dimensions"),
    ],
)
def test_a_header_that_claims_too_much_is_refused_with_little_memory(path, content, reason):
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ModelError, match=reason):
        read_header(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_header_cut_anywhere_is_refused(path):
    for cut in range(len(HONEST)):
        path.write_bytes(HONEST[:cut])
        with pytest.raises(ModelError):
            read_header(path)


def test_any_damage_is_refused_or_passed_but_never_crashes(path):
    rng = random.Random(0)
    for _ in range(2000):
        content = bytearray(HONEST)
        for _ in range(rng.choice((1, 2, 5))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            read_header(path)
        except ModelError:
            continue
