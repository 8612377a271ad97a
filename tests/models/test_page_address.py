import pytest

from tuibench.models.local import ModelError
from tuibench.models.origin.page_address import hub_id


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/owner/a.model-1",
        "https://huggingface.co/owner/a.model-1/",
        "http://www.huggingface.co/owner/a.model-1",
        "huggingface.co/owner/a.model-1",
        "https://hf.co/owner/a.model-1?library=transformers",
        "HTTPS://HuggingFace.co/owner/a.model-1/tree/main",
        "https://huggingface.co/owner/a.model-1/tree/main/onnx#readme",
        "https://huggingface.co/owner/a.model-1/blob/main/config.json",
        "https://huggingface.co/owner/a.model-1/resolve/main/model.safetensors?download=true",
    ],
)
def test_the_address_of_a_page_is_its_id(address):
    assert hub_id(address) == "owner/a.model-1"


def test_models_without_an_owner_have_pages_too():
    assert hub_id("https://huggingface.co/gpt2") == "gpt2"


@pytest.mark.parametrize("name", ["owner/model", "./https:/x", "model", "/models/huggingface.co/x", "a.gguf", "~/x"])
def test_other_names_stay(name):
    assert hub_id(name) == name


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("https://huggingface.co/owner/model/tree/v1.0", "`hf download owner/model --revision v1.0`"),
        ("https://huggingface.co/o/m-GGUF/blob/main/m-Q4_K_M.gguf", "`hf download o/m-GGUF m-Q4_K_M.gguf`"),
        ("https://huggingface.co/datasets/owner/set", "not the page of a model"),
        ("https://example.com/owner/model", "not the page of a model"),
        ("hf://owner/model", "not the page of a model"),
        ("https://huggingface.co/", "not the page of a model"),
    ],
)
def test_an_address_of_something_else_says_what_to_do(address, remedy):
    with pytest.raises(ModelError) as caught:
        hub_id(address)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)
