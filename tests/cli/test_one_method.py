"""What verbs that put one method to use refuse before they start anything."""

import re

import pytest

from tuibench.cli import BAD_USAGE, main, one_method


@pytest.mark.parametrize("verb", ["chat", "serve-model", "take"])
def test_what_does_not_fit_is_one_line_with_both_numbers(verb, tiny_llama, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(one_method, "free_memory_bytes", lambda: 100 << 20)
    assert main([verb, "kv-cache", "--model", str(tiny_llama.directory)]) == BAD_USAGE
    told = r"(tuibench: )?kv-cache takes about \d+ MiB of memory on this model, and 100 MiB are free; .*\n"
    assert re.fullmatch(told, capsys.readouterr().err)
