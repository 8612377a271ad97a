import pytest

from tuibench.quality.windows import MAX_WINDOWS, EvalTextError, windows_of


def test_windows_are_whole_pieces_and_the_rest_is_left_out():
    windows = windows_of(range(1100), opening=(), context_window=None)
    assert windows.tokens == (tuple(range(512)), tuple(range(512, 1024)))
    assert windows.first == 256
    assert windows.n_per_window == 255  # as llama-perplexity: n_ctx - 1 - n_ctx / 2
    assert windows.n_scored == 510


def test_a_small_model_gets_small_windows():
    assert windows_of(range(600), opening=(), context_window=256).length == 256


def test_a_short_text_is_one_window():
    windows = windows_of(range(100), opening=(), context_window=2048)
    assert (windows.length, windows.n_scored) == (100, 49)


def test_every_window_starts_with_the_opening_token():
    windows = windows_of([7, *range(100, 1123)], opening=[7], context_window=None)
    assert [window[0] for window in windows.tokens] == [7, 7]
    assert windows.tokens[1][1] == 100 + 512


def test_a_long_text_is_cut_off():
    assert len(windows_of(range(100_000), opening=(), context_window=None).tokens) == MAX_WINDOWS


def test_too_short_a_text_is_refused_with_the_least_length():
    with pytest.raises(EvalTextError, match="63 tokens; 64"):
        windows_of(range(63), opening=(), context_window=None)


def test_longer_windows_are_predicted_from_the_same_position_on_and_told_in_bands():
    windows = windows_of(range(5000), opening=(), context_window=4096, window_tokens=2048)
    assert (len(windows.tokens), windows.length, windows.first, windows.n_per_window) == (2, 2048, 256, 1791)
    assert windows.depths == (256, 512, 1024)
    assert windows_of(range(5000), opening=(), context_window=1000, window_tokens=2048).length == 1000
    assert windows_of(range(1100), opening=(), context_window=None).depths == ()


def test_as_much_text_is_read_in_longer_windows():
    windows = windows_of(range(100_000), opening=(), context_window=None, window_tokens=4096)
    assert windows.n_tokens == windows_of(range(100_000), opening=(), context_window=None).n_tokens
    assert windows_of(range(100_000), opening=(), context_window=None, window_tokens=100_000).n_tokens == 8192
