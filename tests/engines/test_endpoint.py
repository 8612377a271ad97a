"""The client of OpenAI-compatible servers: what it asks, what it makes of answers, and of every fault one line."""

import itertools
import json
import ssl
import subprocess
import threading
from http.server import HTTPServer

import pytest

from tests.openai_server import _Handler, chat, completion, finish, openai_server, usage
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.spec import Sampling
from tuibench.engines.base import StreamEngine, StreamError, StreamRefusedError, StreamRequest
from tuibench.engines.endpoint.engine import EndpointEngine

KEY = "sk-very-secret-0123456789"
REQUEST = StreamRequest(prompt="Hello", text="<user>Hello", max_new_tokens=4, sampling=Sampling())


@pytest.fixture
def server():
    with openai_server() as (script, url):
        yield script, url


def loaded(url, **fields):
    engine = EndpointEngine(Endpoint(url=url, model="tiny", **fields))
    facts = engine.load(None, 1, lambda *_: None)
    return engine, facts


def generated(engine, request=REQUEST):
    return [(piece.text, piece.n_tokens) for piece in engine.stream(request)]


def test_tokens_are_counted_by_usage_and_stamped_in_order(server):
    engine, facts = loaded(server[1])
    assert isinstance(engine, StreamEngine)
    assert facts == {"address": server[1], "server": "scripted", "served model": "tiny", "API": "completions"}
    pieces = list(engine.stream(REQUEST))
    assert [(piece.text, piece.n_tokens) for piece in pieces] == [
        (" one", None), (" two", None), (" three", None), (" four", None),
    ]  # fmt: skip
    assert [piece.at_ns for piece in pieces] == sorted(piece.at_ns for piece in pieces)
    outcome = engine.outcome
    assert (outcome.n_prompt, outcome.n_gen, outcome.n_cached, outcome.stopped) == (5, 4, 0, False)


def test_a_piece_is_handed_on_before_the_next_one_comes(server):
    script, url = server
    engine, _ = loaded(url)
    script.events = lambda _: [completion(" a"), "wait", completion(" b"), finish(), "[DONE]"]
    pieces = engine.stream(REQUEST)
    assert next(pieces).text == " a"
    script.gate.set()
    assert [piece.text for piece in pieces] == [" b"]


def test_counts_that_come_with_each_piece_belong_to_it(server):
    script, url = server
    engine, _ = loaded(url)
    script.events = lambda _: [
        completion(" a b", usage={"prompt_tokens": 5, "completion_tokens": 2}),
        completion(" c d", usage={"prompt_tokens": 5, "completion_tokens": 4}),
        finish(),
        "[DONE]",
    ]
    assert generated(engine) == [(" a b", 2), (" c d", 2)]


def test_a_count_of_nothing_is_no_count(server):
    script, url = server
    engine, _ = loaded(url)
    nothing = {"prompt_tokens": 0, "completion_tokens": 0}  # what Ollama sends with each piece
    script.events = lambda _: [completion(" a", usage=nothing), completion(" b", usage=nothing), finish(), usage(5, 2)]
    assert generated(engine) == [(" a", None), (" b", None)]
    assert engine.outcome.n_gen == 2


def test_a_model_may_be_named_without_the_tag_that_ollama_lists(server):
    script, url = server
    script.models["data"][0] |= {"id": "tiny:latest", "owned_by": "library"}
    assert loaded(url)[1]["server"] == "library"
    script.models["data"][0]["id"] = "tiny:q8"
    with pytest.raises(StreamRefusedError, match="has no model 'tiny'; it has tiny:q8"):
        loaded(url)


def test_a_chat_begins_with_a_role_and_may_think_first(server):
    script, url = server
    script.events = lambda _: [
        chat(role="assistant", content=None), chat(reasoning_content=" hm"), chat(content=" yes"), chat(content=""),
        finish("stop"), usage(9, 4, None), "[DONE]",
    ]  # fmt: skip
    engine, _ = loaded(url, api="chat")
    assert generated(engine) == [(" hm", None), (" yes", None)]
    outcome = engine.outcome
    assert (outcome.reasoned, outcome.stopped, outcome.n_cached) == (True, True, None)
    assert script.asked[-1]["messages"] == [{"role": "user", "content": "Hello"}]
    assert "prompt" not in script.asked[-1]


def test_llama_servers_timings_tell_what_was_cached(server):
    script, url = server
    engine, _ = loaded(url)
    script.events = lambda _: [
        completion(" a"),
        {**finish(), "timings": {"cache_n": 17, "prompt_n": 1, "prompt_ms": 1.5, "odd name": 1, "text": "x"}},
        usage(18, 4, None),
        "[DONE]",
    ]
    generated(engine)
    assert engine.outcome.n_cached == 17
    assert engine.outcome.timings == ("cache_n: 17", "prompt_n: 1", "prompt_ms: 1.5")


def test_what_a_server_does_not_know_is_left_out_and_named(server):
    script, url = server
    script.refused = ("cache_salt", "cache_prompt", "ignore_eos")
    engine, facts = loaded(url)
    assert facts["not taken"] == "cache_prompt, cache_salt, ignore_eos"
    assert len(generated(engine)) == 4
    assert not set(script.refused) & set(script.asked[-1])
    assert script.asked[-1]["min_tokens"] == 4


def test_with_a_temperature_the_model_may_end_its_text(server):
    script, url = server
    engine, _ = loaded(url)
    generated(engine, StreamRequest("a", "a", 4, Sampling(temperature=0.7, top_k=20, top_p=0.9, seed=3)))
    asked = script.asked[-1]
    assert (asked["temperature"], asked["top_k"], asked["top_p"], asked["seed"]) == (0.7, 20, 0.9, 3)
    assert not {"ignore_eos", "min_tokens"} & set(asked)


def test_the_end_of_the_stream_is_enough_where_nobody_says_done(server):
    script, url = server
    engine, _ = loaded(url)
    script.events = lambda _: [completion(" a"), finish()]
    assert generated(engine) == [(" a", None)]


def error(message, **more):
    return json.dumps({"error": {"message": message, **more}})


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        ((401, error("no key"), {}), StreamRefusedError, "wants a key (401): put it into an environment variable"),
        ((403, error("no key"), {}), StreamRefusedError, "wants a key (403)"),
        ((404, error("no model `x`"), {}), StreamRefusedError, "(404), it says: no model `x`: the address ends in /v1"),
        ((429, error("slow"), {"Retry_After": "7"}), StreamError, "(429), it says: slow: leave it alone for 7 s"),
        ((400, error("bad prompt"), {}), StreamRefusedError, "refuses the request (400), it says: bad prompt"),
        ((422, json.dumps({"detail": [{"msg": "x"}]}), {}), StreamRefusedError, 'it says: [{"msg": "x"}]'),
        ((500, "<html>oops</html>", {}), StreamError, "failed (500): its own log says why"),
        ((503, error("Loading model"), {}), StreamError, "failed (503), it says: Loading model"),
        ((302, "", {"Location": "http://elsewhere/"}), StreamRefusedError, "points elsewhere (302)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("when", ["at-once", "later"])
def test_an_error_becomes_one_line_that_says_what_to_do(server, status, kind, said, when):
    script, url = server
    if when == "at-once":
        script.status = status
        with pytest.raises(kind) as caught:
            loaded(url)
    else:
        engine, _ = loaded(url)
        script.status = status
        with pytest.raises(kind) as caught:
            generated(engine)
    assert said in str(caught.value)
    assert str(caught.value).startswith(url)
    assert "\n" not in str(caught.value)


BREAKS = {
    "cut": ([completion(" a")], StreamError, "broke off in the middle of a stream"),
    "no-end": ([completion(" a")], StreamError, "broke off in the middle of a stream"),
    "not-json": ([completion(" a"), "hello \x1b[2J"], StreamError, "streams something else than JSON, it says: hello"),
    "not-a-table": (["[1]"], StreamError, "streams something else than completions"),
    "of-another-api": (
        [{"content": " a", "stop": False}],
        StreamRefusedError,
        "than completions: the address ends in /v1",
    ),
    "older-error": ([completion(" a"), 'error: {"code": 500, "message": "slot gone"}'], StreamError, "slot gone"),
    "error": ([completion(" a"), {"error": {"message": "CUDA\nis gone"}}], StreamError, "it says: CUDA is gone"),
    "endless": ([completion(" a")] * 1000, StreamRefusedError, "does not end its stream at the length"),
    "long-line": ["x" * (1 << 20), StreamError, "sends a line without end"],
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_stream_that_goes_wrong_is_an_error_and_no_short_text(server, fault):
    script, url = server
    events, kind, said = BREAKS[fault]
    engine, _ = loaded(url)
    script.events = lambda _: [events] if isinstance(events, str) else events
    script.cut = fault == "cut"
    with pytest.raises(kind, match=said):
        generated(engine)


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(server):
    script, url = server
    engine, _ = loaded(url)
    engine._server._read_s = 0.05
    script.events = lambda _: ["wait"]
    with pytest.raises(StreamError, match="does not answer in time"):
        generated(engine)


def test_a_server_that_only_keeps_the_connection_alive_is_not_waited_for_for_ever(server):
    script, url = server
    engine, _ = loaded(url)
    engine._read_s = 0.05
    script.events = lambda _: itertools.repeat(": ping")
    with pytest.raises(StreamError, match="keeps the connection alive and sends nothing"):
        generated(engine)


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("text/html", b"<html>Welcome</html>", "answers with text/html, so it is not an OpenAI-compatible API"),
        ("application/json", b'{"choices": []}', "answers in one piece, not as a stream"),
    ],
)
def test_an_answer_of_another_kind_is_refused(server, kind, body, said):
    server[0].raw = (kind, body)
    with pytest.raises(StreamRefusedError, match=said):
        loaded(server[1])


def test_a_page_for_a_browser_where_the_models_should_be_is_no_api(server):
    server[0].models = b"<html>Welcome</html>"
    with pytest.raises(StreamRefusedError, match="so it is not an OpenAI-compatible API"):
        loaded(server[1])


def test_a_server_without_a_list_of_models_is_asked_all_the_same(server):
    server[0].models = None
    engine, facts = loaded(server[1])
    assert "server" not in facts
    assert len(generated(engine)) == 4


def test_a_wrong_model_is_told_with_the_right_ones(server):
    engine = EndpointEngine(Endpoint(url=server[1], model="huge"))
    with pytest.raises(StreamRefusedError, match="has no model 'huge'; it has tiny: name one with"):
        engine.load(None, 1, lambda *_: None)


def test_a_key_is_sent_and_never_shown(server, monkeypatch):
    script, url = server
    monkeypatch.setenv("THE_KEY", f"{KEY}\n")
    engine, _ = loaded(url, key_env="THE_KEY")
    assert script.asked[0]["authorization"] == f"Bearer {KEY}"
    script.status = (401, error(f"Incorrect API key provided: {KEY}"), {})
    with pytest.raises(StreamRefusedError) as caught:
        generated(engine)
    assert "does not take the key in THE_KEY (401), it says: Incorrect API key provided: <key>" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "said"), [("", "is not set"), ("two words", "has blanks"), ("ключ", "outside ASCII")]
)
def test_what_cannot_be_a_key_is_refused_before_it_is_sent(server, monkeypatch, value, said):
    monkeypatch.setenv("THE_KEY", value)
    with pytest.raises(StreamRefusedError, match=said) as caught:
        loaded(server[1], key_env="THE_KEY")
    assert not value or value not in str(caught.value)
    assert server[0].asked == []


def test_nobody_there_is_told_as_that():
    with pytest.raises(StreamRefusedError, match=r"nobody listens at http://127\.0\.0\.1:1/v1: start the server"):
        loaded("http://127.0.0.1:1/v1")


def test_a_host_that_does_not_exist_is_told_as_that():
    with pytest.raises(StreamRefusedError, match="there is no such host"):
        loaded("http://no-such-host.invalid/v1")


def test_a_certificate_that_nobody_vouches_for_is_refused_and_one_that_is_known_is_taken(tmp_path, monkeypatch):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with openai_server() as (script, plain):
        server = HTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"script": script}))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"https://localhost:{server.server_port}/v1"
        with pytest.raises(StreamRefusedError, match=r"its certificate is not trusted .*SSL_CERT_FILE"):
            loaded(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        engine, _ = loaded(url)
        assert len(generated(engine)) == 4
        with pytest.raises(StreamRefusedError, match="does not speak TLS"):
            loaded(plain.replace("http:", "https:"))
        server.shutdown()
        server.server_close()
