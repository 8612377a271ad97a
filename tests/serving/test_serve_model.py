"""`tuibench serve-model`, asked as any client of OpenAI's API would ask it."""

import json
import signal
import threading

import psutil
import pytest

from tests.deploy.alone import PROMPT, transformers_answer
from tests.scripted_methods import provide, save_toy_model
from tests.serving.serving import served
from tuibench.cli import BAD_USAGE, main
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.spec import Sampling
from tuibench.engines.base import StreamRequest
from tuibench.engines.endpoint.engine import EndpointEngine
from tuibench.store.session import load

N_NEW = 24


@pytest.fixture(scope="module")
def llama(tiny_llama, tmp_path_factory):
    cache = tmp_path_factory.mktemp("serving")
    with served("kv-cache", tiny_llama.directory, "--threads", "1", env={"TUIBENCH_CACHE": str(cache)}) as running:
        yield running


@pytest.fixture
def toy(tmp_path):
    """Starts a scripted method on the smallest model; it answers "c" for ever."""
    model = save_toy_model(tmp_path / "toy")

    def start(method="sound", **environment):
        env = {**provide(tmp_path / "installed"), "TUIBENCH_CACHE": str(tmp_path / "cache"), **environment}
        return served(method, model, env=env)

    return start


def said(events, api):
    name = {"completions": lambda choice: choice["text"], "chat": lambda choice: choice["delta"].get("content", "")}
    return "".join(name[api](choice) for event in events for choice in event["choices"])


def test_a_chat_is_what_transformers_answers_in_one_piece_and_as_a_stream(llama, tiny_llama):
    prompt_ids, new_ids, text = transformers_answer(tiny_llama.directory, raw=False, n_new=N_NEW)
    asked = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": N_NEW, "temperature": 0}
    status, whole = llama.ask("chat/completions", model="tiny-llama", **asked)
    assert status == 200
    assert whole["object"] == "chat.completion"
    (choice,) = whole["choices"]
    assert choice["message"] == {"role": "assistant", "content": text}
    assert choice["finish_reason"] == ("length" if len(new_ids) == N_NEW else "stop")
    counts = {"prompt_tokens": len(prompt_ids), "completion_tokens": len(new_ids)}
    assert whole["usage"].items() >= (counts | {"total_tokens": sum(counts.values())}).items()
    events = llama.stream("chat/completions", stream_options={"include_usage": True}, **asked)
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert said(events, "chat") == text
    assert events[-2]["choices"][0]["finish_reason"] == choice["finish_reason"]
    assert events[-1]["choices"] == []
    assert events[-1]["usage"].items() >= counts.items()
    assert events[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] == len(prompt_ids) - 1
    assert all(event["usage"] is None for event in events[:-1])


def test_a_completion_is_what_transformers_answers_from_text_and_from_tokens(llama, tiny_llama):
    prompt_ids, _, text = transformers_answer(tiny_llama.directory, raw=True, n_new=N_NEW)
    for prompt in (PROMPT, [PROMPT], prompt_ids):
        status, whole = llama.ask("completions", prompt=prompt, max_tokens=N_NEW, temperature=0)
        assert status == 200
        assert whole["choices"][0]["text"] == text
    events = llama.stream("completions", prompt=PROMPT, max_tokens=N_NEW, temperature=0)
    assert said(events, "completions") == text
    assert "usage" not in events[-1]


def test_a_stop_text_ends_an_answer_before_it(llama, tiny_llama):
    _, _, text = transformers_answer(tiny_llama.directory, raw=True, n_new=N_NEW)
    stop = text[len(text) // 2 :][:3]
    status, whole = llama.ask("completions", prompt=PROMPT, max_tokens=N_NEW, temperature=0, stop=["never", stop])
    assert status == 200
    assert whole["choices"][0]["text"] == text[: text.index(stop)]
    assert whole["choices"][0]["finish_reason"] == "stop"


def test_the_same_seed_writes_the_same_text_and_another_another(llama):
    def text(seed):
        _, whole = llama.ask("completions", prompt=PROMPT, max_tokens=N_NEW, temperature=1.5, seed=seed)
        return whole["choices"][0]["text"]

    assert text(1) == text(1) != text(2)


def test_our_own_client_gets_the_text_and_the_counts_of_the_direct_row(llama, tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setenv("THE_KEY", llama.key)
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    server = ("--endpoint", llama.url, "--endpoint-model", "tiny-llama", "--endpoint-key-env", "THE_KEY")
    options = ["--no-quality", "--trials", "1", "--max-new-tokens", str(N_NEW), "--threads", "1"]
    model = str(tiny_llama.directory)
    assert main(["run", "--model", model, "--methods", "kv-cache", *server, *options, "--output", str(tmp_path)]) == 0
    (session,) = tmp_path.glob("*.toml")
    rows = {trial.method: trial for trial in load(session).trials if not trial.warmup}
    ours, theirs = rows["kv-cache"], rows["endpoint"]
    assert (theirs.text, theirs.n_prompt, theirs.n_gen) == (ours.text, ours.n_prompt, ours.n_gen)
    assert (theirs.n_gen, theirs.n_cached) == (N_NEW, 0)


def test_our_own_client_is_given_the_length_it_asks_for_and_no_cache(llama, monkeypatch):
    monkeypatch.setenv("THE_KEY", llama.key)
    engine = EndpointEngine(Endpoint(url=llama.url, model="tiny-llama", key_env="THE_KEY"))
    facts = engine.load(None, 1, lambda *_: None)
    assert "not taken" not in facts
    request = StreamRequest(prompt=PROMPT, text=PROMPT, max_new_tokens=60, sampling=Sampling())
    for _ in range(2):
        list(engine.stream(request))
        assert (engine.outcome.n_gen, engine.outcome.n_cached, engine.outcome.stopped) == (60, 0, False)


HELLO = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "words"),
    [
        ("completions", b'{"prompt": ', 400, None, "the body is not JSON"),
        ("completions", [], 400, None, "not a JSON object"),
        ("completions", {}, 400, None, "prompt: a text"),
        ("completions", {"prompt": ["a", "b"]}, 400, "unsupported_parameter", "one prompt at a time"),
        ("completions", {"prompt": "a", "max_tokens": "5"}, 400, None, "max_tokens: Expected `int"),
        ("completions", {"prompt": "a", "max_tokens": 0}, 400, None, "max_tokens"),
        ("completions", {"prompt": "a", "temperature": 3}, 400, None, "temperature"),
        ("completions", {"prompt": "a", "seed": -1}, 400, None, "seed"),
        ("completions", {"prompt": "a", "n": 2}, 400, "unsupported_parameter", "n is not to be had"),
        ("completions", {"prompt": "a", "min_tokens": 2}, 400, "unsupported_parameter", "min_tokens"),
        ("completions", {"prompt": "a", "model": "gpt"}, 404, "model_not_found", "'gpt' does not exist"),
        ("completions", {"prompt": "word " * 300}, 400, "context_length_exceeded", "window only 256"),
        ("completions", {"prompt": [5, 9999]}, 400, None, "9999"),
        ("chat/completions", {}, 400, None, "messages: at least one"),
        ("chat/completions", {"messages": [{"role": "alien", "content": "x"}]}, 400, None, "role"),
        ("chat/completions", {"messages": HELLO, "tools": [{}]}, 400, "unsupported_parameter", "tools"),
        ("chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, None, "image"),
        ("embeddings", {"input": "a"}, 404, None, "there is nothing at /v1/embeddings"),
    ],
)
def test_what_cannot_be_answered_is_an_error_as_openai_words_it(llama, path, body, status, code, words):
    response = llama.request("POST", f"/v1/{path}", body if isinstance(body, bytes) else json.dumps(body).encode())
    error = json.loads(response.read())["error"]
    assert (response.status, error["code"]) == (status, code)
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"


def test_nobody_is_answered_without_the_key(llama):
    for key in ("", "wrong", llama.key + "x"):
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/completions")):
            response = llama.request(method, path, b"{}", key=key)
            assert response.status == 401
            assert json.loads(response.read())["error"]["code"] == "invalid_api_key"


def test_the_model_is_listed_and_a_connection_can_be_kept(llama):
    connection = llama.connection()
    for path in ("/v1/models", "/v1/models/", "/v1/models?limit=1"):
        response = llama.request("GET", path, connection=connection)
        listed = json.loads(response.read())
        assert [model["id"] for model in listed["data"]] == ["tiny-llama"]
    response = llama.request("GET", "/v1/models/tiny-llama", connection=connection)
    assert json.loads(response.read()) == listed["data"][0]


def test_a_model_without_a_chat_template_completes_and_says_why_it_does_not_chat(toy):
    with toy() as server:
        _, whole = server.ask("completions", prompt="a b", max_tokens=3, temperature=0)
        assert whole["choices"][0]["text"].split() == ["c"] * 3
        status, body = server.ask("chat/completions", messages=HELLO)
        assert status == 400
        assert "no chat template" in body["error"]["message"]


def test_a_client_that_hangs_up_ends_its_answer_whether_it_streams_or_waits(toy):
    """Each answer would take most of an hour; the next one comes all the same."""
    with toy(TUIBENCH_TEST_STEP_S="0.02") as server:
        for stream in (True, False):
            connection = server.connection()
            body = {"prompt": "a", "max_tokens": 100_000, "stream": stream}
            headers = {"Authorization": f"Bearer {server.key}"}
            connection.request("POST", "/v1/completions", json.dumps(body).encode(), headers)
            if stream:
                connection.getresponse().read(1)
            connection.close()
        status, whole = server.ask("completions", prompt="a", max_tokens=2)
        assert (status, whole["usage"]["completion_tokens"]) == (200, 2)


def test_those_who_ask_at_once_are_all_answered(toy):
    with toy(TUIBENCH_TEST_STEP_S="0.02") as server:
        answers = []
        asking = [
            threading.Thread(
                target=lambda n=n: answers.append((n, server.ask("completions", prompt="a", max_tokens=n)))
            )
            for n in range(1, 7)
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
    assert {n: (status, body["usage"]["completion_tokens"]) for n, (status, body) in answers} == {
        n: (200, n) for n in range(1, 7)
    }


def test_a_crash_is_one_line_for_the_client_and_the_next_request_loads_the_model_again(toy):
    with toy("faulty", TUIBENCH_TEST_FAULT="decode:segfault") as server:
        for _ in range(2):
            status, body = server.ask("completions", prompt="a", max_tokens=2)
            assert status == 503
            assert "the worker died of SIGSEGV" in body["error"]["message"]
        status, whole = server.ask("completions", prompt="a", max_tokens=1)  # needs no step
        assert (status, whole["usage"]["completion_tokens"]) == (200, 1)


def test_an_error_of_the_engine_is_told_and_the_process_stays(toy):
    with toy("faulty", TUIBENCH_TEST_FAULT="decode:exception") as server:
        before = psutil.Process(server.process.pid).children(recursive=True)
        status, body = server.ask("completions", prompt="a", max_tokens=2)
        assert (status, body["error"]["type"]) == (500, "server_error")
        assert "it broke" in body["error"]["message"]
        assert psutil.Process(server.process.pid).children(recursive=True) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_server_is_the_end_of_the_model(toy, number):
    with toy() as server:
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert children
        server.process.send_signal(number)
        assert server.process.wait(60) == (-9 if number == signal.SIGKILL else 0)
        assert not psutil.wait_procs(children, timeout=60)[1]


def test_a_key_of_the_users_own_is_taken_and_not_shown(tmp_path):
    model, env = save_toy_model(tmp_path / "toy"), provide(tmp_path / "installed") | {"MY_KEY": "s3cret"}
    with served("sound", model, "--key-env", "MY_KEY", env=env, key_env="MY_KEY") as server:
        assert server.request("GET", "/v1/models").status == 200
        assert not any("s3cret" in line for line in server.said)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("kv-cach",), "unknown method 'kv-cach'"),
        (("kv-cache,onnx",), "one method at a time"),
        (("kv-cache", "--key-env", "NOT_THERE"), "NOT_THERE is not set"),
    ],
)
def test_what_cannot_be_served_is_one_line(options, words, tiny_llama, capsys):
    assert main(["serve-model", *options, "--model", str(tiny_llama.directory)]) == BAD_USAGE
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
