"""A method that computes another model is told apart before anything of it is measured."""

import shutil

import pytest

from tuibench.core.run.spec import Method
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.ort.engine import OnnxFused
from tuibench.engines.torch.eager import Baseline, KvCache
from tuibench.worker.first_steps import known_first_steps
from tuibench.worker.self_check import SelfCheck, WrongModelError


def third_party(name):
    return Method(id=name, title=name, explanation=name, parent=None, precision="fp32")


class Wrapped(KvCache):
    """Somebody else's method that decodes as `kv-cache` does, and has no pass of its own to offer."""

    method = third_party("wrapped")

    def load(self, model_dir, n_threads, progress):
        info = super().load(model_dir, n_threads, progress)
        del self.first_steps
        return info


class Forgetful(Wrapped):
    """Each step sees one token."""

    method = third_party("forgetful")

    def decode(self, token_id):
        return super().prefill([token_id], 1)


class BlindScorer(Wrapped):
    """Decodes well, and scores each block as if it began the text."""

    method = third_party("blind-scorer")

    def score(self, token_ids):
        for start in range(0, len(token_ids), 5):
            yield from super().score(token_ids[start : start + 5])


class NotNumbers(Wrapped):
    """An INT8 method whose scales came out as infinity."""

    method = Method(id="not-numbers", title="N", explanation="N", parent=None, precision="int8")

    def decode(self, token_id):
        return super().decode(token_id) * float("nan")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


def check(engine_class, directory):
    engine = engine_class()
    checked = SelfCheck(engine, directory)
    made = checked.prepare(lambda *_: None)
    engine.load(directory, 1, lambda *_: None)
    return made, checked


def test_the_reference_is_asked_once_a_model_in_a_process_of_its_own(tiny_llama):
    for expected_made in (True, False):
        made, checked = check(Wrapped, tiny_llama.directory)
        assert made is expected_made
        assert "within" in checked.run()["checked"]


@pytest.mark.parametrize("engine_class", [Forgetful, BlindScorer, NotNumbers])
def test_another_model_is_an_error_that_says_how_far_it_is_off(tiny_llama, engine_class):
    check(KvCache, tiny_llama.directory)[1].run()  # an INT8 method alone has nobody asked
    _, checked = check(engine_class, tiny_llama.directory)
    with pytest.raises(WrongModelError, match=r"does not compute this model: its first 12 tokens are .* nats"):
        checked.run()


@pytest.mark.parametrize("engine_class", [Baseline, KvCache])
def test_what_the_reference_predicts_is_kept_for_the_others(tiny_gpt2, engine_class):
    _, checked = check(engine_class, tiny_gpt2.directory)
    assert known_first_steps(tiny_gpt2.directory) is None
    checked.run()
    assert known_first_steps(tiny_gpt2.directory).token_ids
    made, checked = check(OnnxFused, tiny_gpt2.directory)
    assert not made
    assert "within" in checked.run()["checked"]


def test_what_a_third_party_predicts_is_not_kept(tiny_llama):
    class Proud(KvCache):
        method = third_party("proud")

    _, checked = check(Proud, tiny_llama.directory)
    shutil.rmtree(known_path := known_first_steps_folder())
    checked.run()
    assert not known_path.exists()


def known_first_steps_folder():
    from tuibench import paths

    return next(paths.artifacts_dir().glob("first-steps-*"))


def test_a_model_that_the_reference_refuses_is_refused_for_all(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama.directory, tmp_path / "odd")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"num_key_value_heads": 2', '"num_key_value_heads": 4'))
    with pytest.raises(UnsupportedModelError, match=r"has shape \[32, 64\]"):
        SelfCheck(Wrapped(), folder).prepare(lambda *_: None)
