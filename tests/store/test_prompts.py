import os

from hypothesis import given
from hypothesis import strategies as st

from tuibench.store.prompts import SHIPPED, Prompt, PromptHistory, PromptLibrary


def test_a_folder_that_is_not_there_offers_what_ships(tmp_path):
    prompts, problems = PromptLibrary(tmp_path / "none").prompts()
    assert [prompt.name for prompt in prompts] == list(SHIPPED)
    assert problems == []


def test_files_come_first_and_replace_what_ships_under_their_name(tmp_path):
    (tmp_path / "mine.txt").write_text("Hello\n")
    (tmp_path / "story.md").write_text("Another story")
    prompts, _ = PromptLibrary(tmp_path).prompts()
    assert [prompt.name for prompt in prompts[:2]] == ["mine", "story"]
    assert prompts[0].text == "Hello"
    assert [prompt.text for prompt in prompts if prompt.name == "story"] == ["Another story"]


def test_files_that_cannot_be_used_are_named_with_their_reason(tmp_path):
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "large.txt").write_text("x" * (1 << 20) + "y")
    prompts, problems = PromptLibrary(tmp_path).prompts()
    assert len(prompts) == len(SHIPPED)
    assert [problem.partition(":")[0] for problem in problems] == ["bytes.txt", "empty.txt", "large.txt"]


def test_a_mark_at_its_beginning_and_bytes_in_its_name_are_no_text(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("\ufeffHello", encoding="utf-8")
    assert PromptLibrary(tmp_path).prompts()[0][0] == Prompt("caf\N{REPLACEMENT CHARACTER}", "Hello")


def test_a_prompt_used_again_moves_to_the_end(tmp_path):
    history = PromptHistory(tmp_path / "state" / "used.jsonl")
    for text in ("a", "b\nc", "a"):
        history.add(text)
    assert history.prompts() == ["b\nc", "a"]


def test_only_the_latest_are_remembered(tmp_path):
    history = PromptHistory(tmp_path / "used.jsonl")
    history._path.write_text("".join(f'"{number}"\n' for number in range(500)))
    history.add("new")
    prompts = history.prompts()
    assert len(prompts) == 200
    assert prompts[-2:] == ["499", "new"]


@given(st.binary(max_size=200))
def test_a_damaged_history_is_read_as_far_as_it_goes(tmp_path_factory, damage):
    path = tmp_path_factory.mktemp("history") / "used.jsonl"
    path.write_bytes(b'"before"\n' + damage + b'\n"after"\n')
    prompts = PromptHistory(path).prompts()
    assert prompts[0] == "before"
    assert prompts[-1] == "after"
