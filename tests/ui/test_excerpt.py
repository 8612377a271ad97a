import pytest

from tests.ui.scripted import Program, until
from tuibench.topics import text, topics
from tuibench.ui.text.excerpt import excerpt

PAGE = """# A page

First comes what nobody looks for. Then **memory** is told of, and
how `much` of it there is. At the end comes [a link](../where.md).

| method | needs |
|--|--|
| kv-cache | memory for keys | of [all] layers |
"""


def test_an_excerpt_is_the_sentence_and_what_follows_cut_at_words():
    assert excerpt("memory", PAGE, 40) == "Then memory is told of, and how much …"


def test_an_excerpt_always_holds_what_was_looked_for():
    pages = {page.name: text(page.name) for page in topics()}
    for words in ("end", "each", "--methods", "the"):
        told = [line for page in pages.values() if (line := excerpt(words, page, 74)) is not None]
        assert told
        assert all(words in line.casefold() and len(line) <= 74 for line in told)
    assert excerpt("--methods", pages["pick"], 74) is not None


def test_a_line_is_filled_with_what_comes_before():
    assert excerpt("a link", PAGE, 30) == "… is. At the end comes a link."


def test_words_are_found_over_the_end_of_a_line_and_in_tables_without_their_bars():
    assert "told of, and how much" in excerpt("and how", PAGE, 60)
    assert excerpt("for keys", PAGE, 60) == "kv-cache · memory for keys · of [all] layers"
    assert excerpt("nowhere", PAGE, 60) is None


@pytest.mark.parametrize("width", [54, 74, 114, 194])
@pytest.mark.parametrize("words", ["memory", "token", "interval"])
def test_excerpts_of_the_manual_hold_the_words_and_begin_and_end_at_words(width, words):
    found = {page.name: excerpt(words, text(page.name), width) for page in topics()}
    told = {name: line for name, line in found.items() if line is not None}
    assert told
    for name, line in told.items():
        whole = " ".join(text(name).replace("|", " · ").replace("`", "").replace("*", "").split())
        assert words in line.casefold()
        assert len(line) <= width
        assert "|" not in line
        inner = line.removeprefix("… ").removesuffix(" …").split()
        assert set(inner) - {"·"} <= set(whole.split()) | set(whole.replace("](", "] (").replace("[", "").split()), line


async def test_the_palette_begins_with_what_the_screen_does_and_says_where_a_help_text_is_cut():
    async with Program().app().run_test(size=(60, 40)) as pilot:
        await until(pilot, pilot.app.screen._facts_known.is_set)
        await pilot.press("escape", "ctrl+p")
        found = pilot.app.screen.query_one("CommandList")
        await until(pilot, lambda: found.option_count)
        await pilot.app.workers.wait_for_complete()
        titles = [str(found.get_option_at_index(at).prompt).splitlines()[0] for at in range(found.option_count)]
        assert titles[0] == "Run (F5)"
        assert len(titles) == len(set(titles))
        assert not [title for title in titles if title.startswith("Run (") and title != titles[0]]
        n_methods = sum(title.startswith("Method: ") for title in titles)
        assert all(title.startswith("Method: ") for title in titles[-n_methods:])
        assert not [title for title in titles if title.startswith(("Down", "Up", "Page"))]
        assert found.styles.text_overflow == "ellipsis"
