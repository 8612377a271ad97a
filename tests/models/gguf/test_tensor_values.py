import gguf
import numpy as np
import pytest

from tuibench.models.local import ModelError
from tuibench.models.origin.gguf.header import read_header
from tuibench.models.origin.gguf.tensor_values import check_inside, tensor_values


def unpackable(kind):
    try:
        gguf.dequantize(np.zeros((1, gguf.GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except NotImplementedError:
        return False
    return True


KINDS = [kind for kind in gguf.GGMLQuantizationType if unpackable(kind)]


def write(path, tensors):
    writer = gguf.GGUFWriter(path, "llama")
    for name, (stored, kind) in tensors.items():
        writer.add_tensor(name, stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_type_is_unpacked_as_the_gguf_package_does(tmp_path, kind):
    block_values, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    stored = np.random.default_rng(0).integers(0, 256, (3, 5, 2 * block_bytes), np.uint8)
    before = np.zeros((1, 7), np.float32)  # so that the other does not begin where the tensors do
    path = write(tmp_path / "tiny.gguf", {"before": (before, None), "x": (stored, kind)})
    header = read_header(path)
    check_inside(header)
    with np.errstate(all="ignore"):  # bytes at random are infinities, too
        values = tensor_values(header, header.tensors["x"])
        assert values.shape == (3, 5, 2 * block_values)
        np.testing.assert_array_equal(values.reshape(15, -1), gguf.dequantize(stored.reshape(15, -1), kind))


def test_type_without_a_way_to_unpack_it_is_refused(tmp_path):
    path = write(tmp_path / "tiny.gguf", {"x": (np.zeros((2, 4), np.int32), None)})
    header = read_header(path)
    with pytest.raises(ModelError, match=r"^the tensor x has the type I32, which this gguf package cannot unpack"):
        tensor_values(header, header.tensors["x"])


def test_type_that_nobody_knows_is_refused(tmp_path):
    path = write(tmp_path / "tiny.gguf", {"x": (np.zeros((2, 4), np.float32), None)})
    content = path.read_bytes()
    at = content.index(b"\x01\x00\x00\x00\x00\x00\x00\x00x") + 9 + 4 + 2 * 8  # name, dimensions, lengths
    path.write_bytes(content[:at] + (99).to_bytes(4, "little") + content[at + 4 :])
    with pytest.raises(ModelError, match=r"^the tensor x has the type 99, which this gguf package cannot unpack"):
        check_inside(read_header(path))


def test_tensor_beyond_the_end_of_the_file_is_refused(tmp_path):
    path = write(tmp_path / "tiny.gguf", {"x": (np.zeros((2, 64), np.float32), None)})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ModelError, match=r"^the tensor x lies outside the file, which is cut off; fetch it again$"):
        check_inside(read_header(path))
