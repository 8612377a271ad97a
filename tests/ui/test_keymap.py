from textual.widgets import Input, TextArea

from tuibench.ui.keymap import KEYS

MULTIPLEXERS = {"ctrl+b", "ctrl+a"}
TERMINAL = {"ctrl+c", "ctrl+q", "ctrl+p", "ctrl+i", "ctrl+m", "ctrl+h", "ctrl+s", "ctrl+z", "f1", "f10", "f11"}


def keys_of(widget):
    return {
        key.strip()
        for binding in widget.BINDINGS
        for key in (binding.key if hasattr(binding, "key") else binding[0]).split(",")
    }


def taken(place):
    return {key for entry in KEYS[place] for key in entry.keys.split(",")}


def test_no_key_of_the_bench_is_taken_by_an_editor_a_multiplexer_or_the_terminal():
    ours = taken("app") | taken("bench") | taken("prompt")
    assert not ours & (keys_of(TextArea) | keys_of(Input) | MULTIPLEXERS | TERMINAL) - {"escape"}


def test_no_key_means_two_things_in_one_place():
    for place, entries in KEYS.items():
        keys = [key for entry in entries for key in entry.keys.split(",")]
        assert len(keys) == len(set(keys)), place


def test_every_key_says_what_it_does_and_has_a_name_of_its_own():
    for place, entries in KEYS.items():
        assert all(entry.label and entry.tooltip for entry in entries)
        assert len({entry.id for entry in entries}) == len(entries), place
