from transformers import CONFIG_MAPPING

from tuibench.models.known_types import is_known_type


def test_every_model_type_of_transformers_is_known_and_no_other():
    assert [name for name in CONFIG_MAPPING if not is_known_type(name)] == []
    assert not is_known_type("llama9")
