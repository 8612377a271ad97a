from __future__ import annotations

import json

import pytest

from tuibench.models.local import ModelError
from tuibench.models.weights import read_header


def write(path, tensors, data=b"", header=None):
    text = json.dumps(tensors).encode() if header is None else header
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def tensor(shape=(2, 3), dtype="F32", offsets=(0, 24)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_elements_are_counted_by_type(path):
    tensors = {
        "__metadata__": {"format": "pt"},
        "a": tensor(),
        "scalar": tensor((), "I64", (24, 32)),
        "packed": tensor((5,), "NEW4", (32, 34)),
    }
    found = read_header(write(path, tensors, b"\0" * 34))
    assert found.elements == {"F32": 6, "I64": 1, "NEW4": 5}
    assert found.n_bytes == path.stat().st_size


def test_headers_equal_the_library(tiny_llama):
    from safetensors import safe_open

    file = tiny_llama.directory / "model.safetensors"
    with safe_open(file, "pt") as weights:
        expected = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118 - no mapping
    assert read_header(file).elements == {"F32": expected}


@pytest.mark.parametrize("length", [0, 2**63, 2**64 - 1, 200_000_000, 1000])
def test_header_longer_than_the_file_is_refused_unread(path, length):
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelError, match=r"model\.safetensors is not a usable safetensors file: its header claims"):
        read_header(path)


@pytest.mark.parametrize("content", [b"", b"\x01", b"PK\x03\x04 a pickle in a zip"])
def test_other_files_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelError):
        read_header(path)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"[1]", "not valid"),
        (b"{" * 50_000, "not valid"),
        (b'{"a":' * 50_000, "not valid"),
        (b'{"a": "\xff"}', "not valid"),
        (b'{"a": {"dtype": "F32", "shape": [1e99], "data_offsets": [0, 4]}}', "not valid"),
        (b"{}", "no tensor"),
        (b'{"__metadata__": {}}', "no tensor"),
    ],
)
def test_damaged_header_is_refused(path, header, reason):
    with pytest.raises(ModelError, match=reason):
        read_header(write(path, None, b"\0" * 24, header))


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (tensor(offsets=(0, 20)), "does not fit its shape"),
        (tensor(shape=(2**40, 2**40)), "does not fit its shape"),
        (tensor(shape=(-2, -3)), "outside the file"),
        (tensor(offsets=(-24, 0)), "outside the file"),
        (tensor(offsets=(8, 32)), "outside the file"),
    ],
)
def test_tensor_that_cannot_be_there_is_refused(path, hostile, reason):
    with pytest.raises(ModelError, match=reason):
        read_header(write(path, {"a": hostile}, b"\0" * 24))


def test_cut_off_file_is_refused(path, tiny_llama):
    whole = (tiny_llama.directory / "model.safetensors").read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match="cut off"):
        read_header(path)
