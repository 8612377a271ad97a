"""A real llama.cpp server as a row beside one of ours: the same weights in FP32, the same text."""

import subprocess
import sys

import pytest

from tests.llama_server import llama_server, write_llama
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.events import StepEmitted
from tuibench.core.run.spec import Sampling, TrialRequest
from tuibench.engines.base import StreamRefusedError, StreamRequest
from tuibench.engines.endpoint.engine import EndpointEngine
from tuibench.machine.bandwidth import remember
from tuibench.models.folder import open_folder
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.store.session import load
from tuibench.worker.stream_users import stream_for_users

N_TOKENS = 24
PROMPT = "The quick brown fox"
RUNNING_TEXT = "the quick brown fox jumps over the lazy dog and runs away from all the others " * 4


def save_ascii_llama(directory):
    """Save a Llama that only writes ASCII: no character of its text is spread over tokens, and none ends it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from tests.tiny_models import CHAT_TEMPLATE, SPECIAL_TOKENS, train_byte_level_bpe

    tokenizer = train_byte_level_bpe()
    config = LlamaConfig(
        vocab_size=384, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=False, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    plain = [token_id for token_id in range(3, 384) if tokenizer.decode([token_id]).isprintable()]
    plain = [token_id for token_id in plain if tokenizer.decode([token_id]).isascii()]
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        model = LlamaForCausalLM(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.15)
        others = [token_id for token_id in range(384) if token_id not in plain]
        model.lm_head.weight[others] = 0
    model.save_pretrained(directory)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIAL_TOKENS[0], eos_token=SPECIAL_TOKENS[2])
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUIBENCH_CACHE", str(folder / "cache"))
        return open_folder(save_ascii_llama(folder / "ascii-llama")).directory


@pytest.fixture(scope="module")
def gguf(model_dir, tmp_path_factory):
    return write_llama(model_dir, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def server(gguf):
    with llama_server(gguf) as url:
        yield url


@pytest.fixture(scope="module")
def expected(model_dir):
    """What transformers makes of the prompt: its tokens, and its text after it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(model_dir), AutoModelForCausalLM.from_pretrained(model_dir)
    messages = [{"role": "user", "content": PROMPT}]
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**asked, do_sample=False, min_new_tokens=N_TOKENS, max_new_tokens=N_TOKENS)
    n_prompt = asked["input_ids"].shape[1]
    return n_prompt, tokenizer.decode(written[0, n_prompt:], skip_special_tokens=True)


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_its_row_has_transformers_text_and_as_many_tokens(server, model_dir, expected, tmp_path, monkeypatch, api):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    remember(1, 20_000_000_000)
    done = subprocess.run(
        [
            sys.executable, "-m", "tuibench", "run", "--model", str(model_dir), "--prompt", PROMPT,
            "--endpoint", server, "--endpoint-model", "tiny", "--endpoint-api", api,
            "--methods", "kv-cache,endpoint", "--trials", "2", "--max-new-tokens", str(N_TOKENS), "--threads", "1",
            "--output", str(tmp_path / "out"),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out").glob("*.toml")
    n_prompt, text = expected
    assert text.isascii()
    trials = [trial for trial in load(path).trials if not trial.warmup]
    assert [(trial.n_prompt, trial.n_gen, trial.text) for trial in trials] == [(n_prompt, N_TOKENS, text)] * 4
    theirs = [trial for trial in trials if trial.method == "endpoint"]
    assert [(trial.n_cached, len(trial.step_ns), trial.validity) for trial in theirs] == [(0, N_TOKENS - 1, ())] * 2
    assert all(f"predicted_n: {N_TOKENS}" in trial.server_timings for trial in theirs)
    facts = next(trial.facts for trial in load(path).trials if trial.method == "endpoint")
    build = next(fact for fact in facts if fact.startswith("build: b"))
    assert facts == (f"address: {server}", "server: llamacpp", "served model: tiny", build, f"API: {api}")
    assert "text identical · its machine was not watched" in done.stdout
    assert "left out: endpoint (not judged: quality cannot be measured through an endpoint)" in done.stdout


def loaded(url, **fields):
    engine = EndpointEngine(Endpoint(url=url, **({"model": "tiny"} | fields)))
    engine.load(None, 1, lambda *_: None)
    return engine


def test_the_prompt_is_computed_in_every_trial_unless_the_server_is_let(server):
    request = StreamRequest(PROMPT, f"{PROMPT} jumps over", 4, Sampling())
    engine = loaded(server)
    found = []
    for left_out in (set(), set(), {"cache_prompt"}, {"cache_prompt"}):
        engine._left_out = left_out
        list(engine.stream(request))
        found.append(engine.outcome.n_cached)
    assert found[:2] == [0, 0]
    assert found[3] > 0


def test_a_model_that_it_does_not_have_is_told_with_the_one_it_has(server):
    with pytest.raises(StreamRefusedError, match="has no model 'huge'; it has tiny"):
        loaded(server, model="huge")


def test_a_prompt_beyond_its_context_is_told_in_its_words(server):
    with pytest.raises(StreamRefusedError, match=r"\(400\), it says: request \(\d+ tokens\) exceeds the"):
        list(loaded(server).stream(StreamRequest("a", "a " * 900, 4, Sampling())))


def test_its_key_is_needed_and_taken(gguf, monkeypatch):
    monkeypatch.setenv("THE_KEY", "sesame")
    monkeypatch.setenv("OTHER_KEY", "mustard")
    with llama_server(gguf, "sesame") as url:
        with pytest.raises(StreamRefusedError, match="wants a key"):
            list(loaded(url).stream(StreamRequest("a", "a", 1, Sampling())))
        with pytest.raises(StreamRefusedError, match="does not take the key in OTHER_KEY"):
            loaded(url, key_env="OTHER_KEY")
        pieces = list(loaded(url, key_env="THE_KEY").stream(StreamRequest("a", "a", 2, Sampling())))
    assert len(pieces) == 2


N_USERS = 4


@pytest.fixture(scope="module")
def users_events(gguf, model_dir):
    """What several users hear of a server with a slot for each."""
    tokenizer, events = PromptTokenizer(model_dir), []
    request = TrialRequest(
        prompt="", max_new_tokens=N_TOKENS, prompt_tokens=12, running_text=RUNNING_TEXT, n_users=N_USERS
    )
    with llama_server(gguf, n_slots=N_USERS) as url:
        stream_for_users(loaded(url), tokenizer, request, events.append)
    return events


def test_several_users_have_the_text_that_transformers_gives_each(users_events, model_dir):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(model_dir), AutoModelForCausalLM.from_pretrained(model_dir)
    ids = tokenizer(RUNNING_TEXT, add_special_tokens=False, return_tensors="pt")["input_ids"]
    finished, steps = users_events[-1], [event for event in users_events if isinstance(event, StepEmitted)]
    for user in range(N_USERS):
        prompt = ids[:, 12 * user : 12 * (user + 1)]
        written = model.generate(prompt, do_sample=False, min_new_tokens=N_TOKENS, max_new_tokens=N_TOKENS)
        heard = "".join(step.texts[0] for step in steps if step.users == (user,))
        assert heard == tokenizer.decode(written[0, 12:], skip_special_tokens=True)
    assert finished.users_n_gen == (N_TOKENS,) * N_USERS
    assert (finished.n_prompt, finished.n_gen, finished.n_cached) == (12, N_TOKENS * N_USERS, 0)
    assert finished.doubts == ()


def test_they_are_served_side_by_side(users_events):
    """The last one has begun before the first one is done: one after the other, no two would be mixed."""
    users = [event.users[0] for event in users_events if isinstance(event, StepEmitted)]
    firsts = [users.index(user) for user in range(N_USERS)]
    ends = [len(users) - users[::-1].index(user) for user in range(N_USERS)]
    assert max(firsts) < min(ends)
