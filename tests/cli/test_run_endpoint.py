"""`tuibench run --endpoint URL`: a server that runs already as a row, from the measurement to the exports."""

import json
import os
import subprocess
import sys

import pytest

from tests.openai_server import completion, finish, openai_server, usage
from tuibench.cli import OK, main
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.events import FailureKind
from tuibench.machine.bandwidth import remember
from tuibench.store.replay import stored_state
from tuibench.store.session import load
from tuibench.store.timeline import Timeline, divergences_ns

N_TOKENS = 6
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server():
    with openai_server() as (script, url):
        yield script, url


@pytest.fixture
def run(server, tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TUIBENCH_CONFIG", str(tmp_path / "settings"))
    remember(1, 20_000_000_000)
    arguments = [
        sys.executable, "-m", "tuibench", "run", "--model", str(tiny_llama.directory),
        "--max-new-tokens", str(N_TOKENS), "--trials", "1", "--warmup", "0", "--threads", "1",
        "--output", str(tmp_path / "out"),
    ]  # fmt: skip

    def sessions():
        return (tmp_path / "out").glob("*.toml")

    def start(*more, endpoint=True, prompt=("--prompt", "Hello"), **environment):
        earlier = set(sessions())
        named = ["--endpoint", server[1], "--endpoint-model", "tiny"] if endpoint else []
        done = subprocess.run(
            [*arguments, *prompt, *named, *more],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
        )
        made = set(sessions()) - earlier  # names of sessions of one second are in no order
        return done, load(made.pop()) if made else None

    return start


def test_a_server_is_a_row_beside_a_method_of_ours_and_never_the_one_to_take(run, server, tmp_path, capfdbinary):
    done, session = run("--methods", "kv-cache,endpoint")
    assert done.returncode == 0, done.stderr
    ours, theirs = sorted(session.trials, key=lambda trial: trial.text_only)
    assert (theirs.method, theirs.n_gen, theirs.n_prompt, theirs.n_cached) == ("endpoint", N_TOKENS, 5, 0)
    assert theirs.text == " one two three four five six"
    assert len(theirs.step_ns) == N_TOKENS - 1
    assert theirs.token_ids == ()
    assert ours.n_gen == N_TOKENS
    assert {theirs.load_ns, theirs.prefill_ns, theirs.artifact_bytes, theirs.weight_bytes} == {None}
    assert {theirs.peak_rss_bytes, theirs.worker_cpu_ns, theirs.lamp} == {None}
    assert [record.method for record in session.quality] == ["kv-cache"]
    assert "left out: endpoint (not judged: quality cannot be measured through an endpoint)" in done.stdout
    assert "first difference at character 1" in done.stdout
    assert "take endpoint" not in done.stdout
    assert "an endpoint streams each trial in one turn, the other methods take short ones" in done.stderr

    (path,) = (tmp_path / "out").glob("*.toml")
    for output in ("md", "csv", "json", "html", "svg", "benchstat"):
        assert main(["export", str(path), "--format", output]) == OK
        assert "endpoint" in capfdbinary.readouterr().out.decode()
    assert main(["replay", str(path), "--plain", "--speed", "1000"]) == OK
    assert f"endpoint │ {theirs.text}" in capfdbinary.readouterr().out.decode()
    assert main(["sessions", "show", str(path)]) == OK
    assert f"endpoint: tiny at {server[1]}, completions" in capfdbinary.readouterr().out.decode()
    assert main(["compare", str(path)]) == OK
    assert "endpoint" in capfdbinary.readouterr().out.decode()
    state = stored_state(session)
    trial = state.methods["endpoint"].trial
    assert (trial.text, trial.n_gen, trial.n_pieces, trial.rss_bytes) == (theirs.text, N_TOKENS, N_TOKENS, None)
    timeline = Timeline(session)
    assert timeline.at(timeline.duration_ns).methods["endpoint"].trial.text == theirs.text
    assert divergences_ns(session, "kv-cache") == {}


def test_several_users_of_a_server_are_a_row_and_come_back_from_the_file(run, tmp_path, capfdbinary):
    asked = ("--users", "3,1", "--ttft-limit", "60s", "--prompt-tokens", "5")
    done, session = run("--methods", "endpoint", *asked, prompt=())
    assert done.returncode == 0, done.stderr
    alone, three = sorted(session.trials, key=lambda trial: trial.n_users or 1)
    assert (alone.users_ttft_ns, alone.n_gen) == ((), N_TOKENS)
    assert (three.n_users, three.n_gen, three.users_n_told) == (3, 3 * N_TOKENS, (N_TOKENS,) * 3)
    assert three.text == " one two three four five six" * 3
    state = stored_state(session)
    assert state.methods["endpoint"].trial.n_gen in {N_TOKENS, 3 * N_TOKENS}
    (path,) = (tmp_path / "out").glob("*.toml")
    for output in ("md", "csv", "json", "html", "svg"):
        assert main(["export", str(path), "--format", output]) == OK
        assert "endpoint" in capfdbinary.readouterr().out.decode()
    assert main(["replay", str(path), "--plain", "--speed", "1000"]) == OK
    assert "endpoint 3 │  one two three four five six" in capfdbinary.readouterr().out.decode()
    assert main(["compare", str(path)]) == OK


def test_it_is_asked_for_the_same_work_and_the_same_text(run, server, tiny_llama):
    from transformers import AutoTokenizer

    done, _ = run("--methods", "endpoint")
    assert done.returncode == 0, done.stderr
    probe, asked = server[0].asked
    assert probe["max_tokens"] == 1
    template = AutoTokenizer.from_pretrained(tiny_llama.directory)
    messages = [{"role": "user", "content": "Hello"}]
    assert asked["prompt"] == template.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    wanted = {
        "path": "/v1/completions", "model": "tiny", "stream": True, "temperature": 0.0, "max_tokens": N_TOKENS,
        "min_tokens": N_TOKENS, "ignore_eos": True, "cache_prompt": False, "stream_options": {"include_usage": True},
        "authorization": None,
    }  # fmt: skip
    assert {name: asked[name] for name in wanted} == wanted
    assert asked["cache_salt"] != probe["cache_salt"]


def test_an_older_version_is_told_that_it_is_one(run):
    _, session = run("--methods", "endpoint")
    assert session.header.schema_version == 2
    _, without = run("--methods", "kv-cache", "--no-quality", endpoint=False)
    assert without.header.schema_version == 1


def test_the_key_comes_from_the_environment_and_is_written_nowhere(run, server, tmp_path):
    script, url = server
    script.status = (401, json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}), {})
    done, session = run("--methods", "endpoint", "--endpoint-key-env", "THE_KEY", THE_KEY=KEY)
    assert done.returncode == 1
    assert script.asked[0]["authorization"] == f"Bearer {KEY}"
    (trial,) = session.trials
    assert trial.failure_kind is FailureKind.BAD_INPUT
    assert "does not take the key in THE_KEY (401), it says: Incorrect API key provided: <key>" in trial.failure_message
    assert session.header.settings.endpoints == (Endpoint(url=url, model="tiny"),)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in content for content in written)
    assert KEY not in done.stdout + done.stderr


def test_tokens_that_come_together_and_a_cached_prompt_are_said(run, server):
    server[0].events = lambda asked: [
        completion(" one two"),
        completion(" three four five six"),
        finish(),
        usage(5, asked["max_tokens"], 4),
        "[DONE]",
    ]
    done, session = run("--methods", "endpoint")
    assert done.returncode == 0, done.stderr
    (trial,) = session.trials
    assert (trial.n_gen, len(trial.piece_chars), len(trial.step_ns)) == (N_TOKENS, 2, 1)
    assert trial.lamp == "red"
    cached, together = trial.validity[:2]
    assert cached.startswith("4 of 5 tokens of the prompt came from the server's cache")
    assert together.startswith(f"{N_TOKENS} tokens came in 2 pieces")


def test_a_server_of_the_settings_file_has_a_name(run, server, capfdbinary):
    from tuibench import paths

    paths.config_file().parent.mkdir(parents=True, exist_ok=True)
    table = f'[endpoints.mine]\nurl = "{server[1]}"\nmodel = "tiny"\napi = "chat"\n'
    paths.config_file().write_text(table)
    server[0].events = lambda asked: [
        *({"choices": [{"delta": {"content": " x"}}]} for _ in range(asked["max_tokens"])), finish(),
        usage(5, asked["max_tokens"]), "[DONE]",
    ]  # fmt: skip
    done, session = run("--methods", "endpoint:mine", endpoint=False)
    assert done.returncode == 0, done.stderr
    assert [trial.method for trial in session.trials] == ["endpoint:mine"]
    assert main(["methods"]) == OK
    assert f"tiny at {server[1]}, a server that runs already." in capfdbinary.readouterr().out.decode()
    assert server[0].asked[-1]["path"] == "/v1/chat/completions"
    assert server[0].asked[-1]["messages"] == [{"role": "user", "content": "Hello"}]


def test_a_run_goes_on_with_the_same_server_only(run, server, tiny_llama, tmp_path):
    script, url = server
    script.status = (503, "busy", {})
    _, session = run("--methods", "endpoint")
    assert session.trials[0].failure_message.startswith(f"{url} failed (503), it says: busy")
    script.status = None
    (path,) = (tmp_path / "out").glob("*.toml")
    command = [sys.executable, "-m", "tuibench", "run", "--resume", str(path), "--retry-failed"]
    command += ["--model", str(tiny_llama.directory), "--endpoint-model", "tiny", "--endpoint"]
    other = subprocess.run([*command, "http://127.0.0.1:1/v1"], capture_output=True, text=True, check=False)
    assert other.returncode == 2
    assert f"endpoint was measured at {url}, model tiny, API completions" in other.stderr
    same = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    assert same.returncode == 0, same.stderr
    session = load(path)
    assert [trial.n_gen for trial in session.trials] == [N_TOKENS]
    assert [trial.failure_kind for trial in session.superseded] == [FailureKind.ERROR]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--endpoint-model", "m"], "go with --endpoint URL"),
        (["--endpoint", "http://127.0.0.1:8080/v1"], "--endpoint-model M"),
        (["--endpoint", f"http://me:{KEY}@127.0.0.1/v1", "--endpoint-model", "m"], "a user, a password or a query"),
        (["--endpoint", f"http://127.0.0.1/v1?key={KEY}", "--endpoint-model", "m"], "a user, a password or a query"),
        (["--endpoint", "127.0.0.1:8080", "--endpoint-model", "m"], "is not a URL"),
        (["--endpoint", "http://grüße/v1", "--endpoint-model", "m"], "is not a URL"),
        (["--endpoint", "http://a/v1", "--endpoint-model", "m", "--endpoint-key-env", KEY], "never the key itself"),
        (["--endpoint", "http://a/v1", "--endpoint-model", "m", "--endpoint-key-env", "NO_SUCH_KEY"], "is not set"),
        (["--methods", "endpoint:none"], "[endpoints.NAME]"),
        (["--methods", "endpoint"], "--endpoint URL --endpoint-model M"),
    ],
)
def test_what_cannot_be_asked_is_bad_usage_before_anything_is_measured(run, more, said):
    done, session = run(*more, endpoint=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert KEY not in done.stderr
    assert session is None
