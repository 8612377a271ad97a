import pytest
from textual.widgets import Input, TextArea

from tuibench.ui.keys.keymap import KEYS
from tuibench.ui.keys.remapping import remap

MULTIPLEXERS = {"ctrl+b", "ctrl+a"}
# A terminal that takes F1 for itself leaves the question mark: help alone may be on both.
TERMINAL = {"ctrl+c", "ctrl+q", "ctrl+p", "ctrl+i", "ctrl+m", "ctrl+h", "ctrl+s", "ctrl+z", "f10", "f11"}


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
    assert not ours & (keys_of(TextArea) | keys_of(Input) | MULTIPLEXERS | TERMINAL) - {"escape", "enter"}


def test_no_key_means_two_things_in_one_place():
    for place, entries in KEYS.items():
        keys = [key for entry in entries for key in entry.keys.split(",")]
        assert len(keys) == len(set(keys)), place


def test_every_key_says_what_it_does_and_has_a_name_of_its_own():
    for place, entries in KEYS.items():
        assert all(entry.label and entry.tooltip for entry in entries)
        assert len({entry.id for entry in entries}) == len(entries), place


def everywhere():
    return taken("app") | taken("list")


@pytest.mark.parametrize("key", ["slash", "minus", "plus", "space", "x"])
def test_a_key_that_is_typed_into_the_prompt_never_comes_before_it(key):
    assert remap({"run.start": key}).problems == (f"keys: run.start: {key} could no longer be typed into the prompt",)


def test_what_a_key_does_is_read_whole_at_80_columns():
    long = {(place, key.id) for place in KEYS for key in KEYS[place] if len(key.label) + 2 + len(key.tooltip) > 62}
    assert long == set()


def test_an_arrow_that_turns_pages_is_not_taken_by_what_scrolls():
    pages = [(place, key) for place in KEYS for key in KEYS[place] if {"left", "right"} & set(key.keys.split(","))]
    own_focus = {"choice"}
    assert {place for place, _ in pages} > own_focus
    assert all(key.priority for place, key in pages if place not in own_focus)


def test_what_works_everywhere_means_nothing_else_anywhere():
    for place in KEYS.keys() - {"app", "list"}:
        # Going to a mode may be said twice: in the footer of a screen, and for all.
        own = {key for entry in KEYS[place] if "show_mode" not in entry.action for key in entry.keys.split(",")}
        assert not own & everywhere(), place


def test_no_key_of_any_place_is_taken_by_a_multiplexer_or_the_terminal():
    for place in KEYS:
        assert not taken(place) & (MULTIPLEXERS | TERMINAL), place


def test_one_id_means_one_thing():
    meanings = {}
    for entry in (entry for entries in KEYS.values() for entry in entries):
        meanings.setdefault(entry.id, set()).add((entry.action, entry.keys))
    several = {name: found for name, found in meanings.items() if len({action for action, _keys in found}) > 1}
    assert not several


def test_good_keys_of_the_user_are_used():
    remapping = remap({"run.start": "f6, ctrl+n", "sessions.delete": "D", "list.down": "n"})
    assert remapping.problems == ("keys: list.down: n is Cancel (confirm.no)",)
    assert remapping.keymap == {"run.start": "f6,ctrl+n", "sessions.delete": "D"}


@pytest.mark.parametrize(
    ("name", "keys", "reason"),
    [
        ("run.begin", "f6", "no such action"),
        ("run.start", "", "no key given"),
        ("run.start", "f99", "f99 is not a key"),
        ("run.start", "hyperspace+x", "is not a key"),
        ("run.start", "f8", "f8 is Stop (run.stop)"),
        ("run.start", "x", "could no longer be typed"),
        ("run.start", "question_mark", "could no longer be typed"),
        ("run.clear", "ctrl+q", "ctrl+q is quit"),
        ("sessions.delete", "f2", "f2 is Bench"),
        ("app.sessions", "s", "s is Settings"),
    ],
)
def test_a_key_that_cannot_be_had_is_left_out_with_the_reason(name, keys, reason):
    remapping = remap({name: keys})
    assert remapping.keymap == {}
    (problem,) = remapping.problems
    assert problem.startswith(f"keys: {name}: ")
    assert reason in problem


def test_a_key_that_was_given_up_is_free_for_another_action():
    assert remap({"run.start": "f6", "run.stop": "f5"}).problems == ()
    assert remap({"run.start": "f8", "run.stop": "f6"}).problems  # in the order of the file
