import os
from pathlib import Path

import msgspec
import pytest
from filelock import FileLock

from tests.scripted import failed
from tests.ui.scripted import METHODS, Program, answering, session, until
from tuibench import paths
from tuibench.core.run.events import FailureKind
from tuibench.core.run.spec import Sampling
from tuibench.store.under_way import Claim
from tuibench.ui.screens import replay
from tuibench.ui.screens.compare import CompareScreen
from tuibench.ui.screens.details import DetailsScreen
from tuibench.ui.screens.replay import ReplayScreen
from tuibench.ui.services import Services
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.keys_panel import KeysPanel
from tuibench.ui.widgets.race_lane import RaceLane

NAMES = ("baseline", "kv-cache", "onnx")


def stored():
    """Three methods; onnx says something else from token 5 on."""
    trials = list(session(NAMES, n_trials=1).trials)
    ids = trials[2].token_ids
    trials[2] = msgspec.structs.replace(trials[2], token_ids=(*ids[:5], *range(900, 900 + len(ids) - 5)))
    return msgspec.structs.replace(session(NAMES, n_trials=1), trials=tuple(trials))


async def opened(pilot, **options):
    screen = ReplayScreen(pilot.app.context, stored(), path=Path("first.toml"), **options)
    await pilot.app.push_screen(screen)
    await until(pilot, lambda: screen.run.methods)
    await pilot.pause()
    return screen


def keys(screen):
    return screen.query_one(KeyLine).render().plain


def n_tokens(screen):
    return {name: method.trial.n_gen for name, method in screen.run.methods.items() if method.trial}


async def test_a_session_opens_with_its_results():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert screen.ladder.display
        assert not screen.race.display
        assert screen.ladder.keys == NAMES
        assert "1/1" in screen.ladder.plain_rows[0]


@pytest.mark.parametrize("play", [False, True])
async def test_a_session_of_refused_methods_shows_why_each_was_refused(play):
    refused = [failed(name, FailureKind.UNSUPPORTED, message=f"no {name} for this model") for name in NAMES]
    made = msgspec.structs.replace(session(NAMES, n_trials=1), trials=tuple(refused))
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        await pilot.app.push_screen(ReplayScreen(pilot.app.context, made, path=Path("first.toml"), play=play))
        await pilot.pause()
        shown = "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())
        assert [name for name in NAMES if f"no {name} for this model" not in shown] == []


async def test_the_race_goes_at_the_recorded_times_and_the_chosen_speed():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("space")
        assert screen.race.display
        program.now_s += 0.5
        screen._tick()
        await pilot.pause()
        assert screen._position_ns == 500_000_000
        at_half = n_tokens(screen)
        assert 0 < at_half["baseline"] < at_half["kv-cache"] < at_half["onnx"]
        await pilot.press("plus")
        program.now_s += 0.5
        screen._tick()
        assert screen._position_ns == 1_500_000_000
        await pilot.press("space")
        program.now_s += 9
        screen._tick()
        assert screen._position_ns == 1_500_000_000


async def test_the_speed_stays_between_a_quarter_and_sixteen():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press(*["minus"] * 6)
        assert screen._speed == 0.25
        await pilot.press(*["plus"] * 12)
        assert screen._speed == 16
        assert "16×" in screen.transport.render().plain


async def test_at_its_end_a_race_stands_and_space_starts_it_again():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, play=True)
        program.now_s += 1000
        screen._tick()
        await pilot.pause()
        assert not screen._playing
        assert not screen.run.running
        await pilot.press("space")
        assert screen._position_ns == 0
        assert screen._playing


async def test_steps_go_from_token_to_token():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("0", "full_stop")
        assert sum(n_tokens(screen).values()) == 1
        await pilot.press("full_stop")
        assert sum(n_tokens(screen).values()) == 2
        await pilot.press("comma")
        assert sum(n_tokens(screen).values()) == 1


async def test_keys_seek_and_stay_within_the_race():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("0", "right")
        assert screen._position_ns == 1_000_000_000
        await pilot.press("left", "left")
        assert screen._position_ns == 0
        await pilot.press("shift+right", "shift+right", "shift+right", "shift+right")
        assert screen._position_ns == screen._timeline.duration_ns


async def test_f_goes_to_where_a_text_begins_to_differ():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("f")
        await pilot.pause()
        assert n_tokens(screen)["kv-cache"] == 6
        lane = next(lane for lane in screen.race.query(RaceLane) if lane.method_id == "onnx")
        assert lane.different_text
        assert "≠ at 6" in str(lane.border_subtitle)
        assert "◆" in screen.transport.render().plain


async def test_r_shows_the_results_and_the_race_where_it_stood():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("0", "right", "r")
        assert screen.ladder.display
        assert len(list(screen.run.records)) == 3
        await pilot.press("r")
        assert screen.race.display
        assert screen._position_ns == 1_000_000_000


@pytest.mark.parametrize("warmth", [0.0, 0.7])
async def test_a_text_drawn_at_random_is_no_reason_to_doubt_the_model(warmth):
    made = stored()
    settings = msgspec.structs.replace(made.header.settings, sampling=Sampling(temperature=warmth))
    made = msgspec.structs.replace(made, header=msgspec.structs.replace(made.header, settings=settings))
    methods = {name: msgspec.structs.replace(METHODS["baseline"], id=name) for name in NAMES}
    async with Program(methods=methods).app().run_test(size=(120, 40)) as pilot:
        screen = ReplayScreen(pilot.app.context, made, path=Path("first.toml"))
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: screen.run.methods and "onnx" in screen.ladder._known)
        doubts = [flag for row in screen.ladder._compared.values() for flag in row.flags]
        assert any("perhaps not the same model" in flag for flag in doubts) is (not warmth)


async def test_a_race_tells_details_of_the_whole_recording_and_of_the_method_that_the_results_were_about():
    async with Program().app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        looked_at = screen._pointed
        await pilot.press("0", "right", "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        assert str(pilot.app.screen.column.border_title) == looked_at
        assert len(pilot.app.screen._told) == len(NAMES)


async def test_a_race_names_no_key_that_does_nothing_in_it():
    async with Program().app().run_test(size=(200, 60)) as pilot:
        screen = await opened(pilot)
        assert "space Play" in keys(screen)
        await pilot.press("0", "space")
        await pilot.pause()
        assert "space Pause" in keys(screen)
        assert "+ Faster" in keys(screen)
        await pilot.press(*["plus"] * 4)
        await pilot.pause()
        assert "+ Faster" not in keys(screen)
        await pilot.press("question_mark")
        await until(pilot, lambda: screen.query(KeysPanel))
        told = {active.binding.id for active in screen.active_bindings.values()}
        assert not told & {"run.report", "run.take", "panel.next", "panel.swap"}


async def test_the_keys_of_a_race_are_told_beside_the_results_too():
    async with Program().app().run_test(size=(200, 60)) as pilot:
        screen = await opened(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: screen.query(KeysPanel))
        await pilot.pause()
        text = screen.query_one(KeysPanel).sheet.render().plain
        assert [name for name in ("Faster", "Slower", "Step", "Step back", "Export") if f" {name}  " not in text] == []
        assert "Choose" not in text  # nothing can be chosen here


async def test_c_compares_and_escape_goes_back():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is not screen)


@pytest.mark.parametrize(("size", "n_columns"), [((60, 15), 1), ((80, 24), 2), ((120, 40), 3), ((200, 60), 3)])
async def test_lanes_are_as_many_beside_each_other_as_stay_readable(size, n_columns):
    program = Program()
    async with program.app().run_test(size=size) as pilot:
        screen = await opened(pilot)
        await pilot.press("0")
        await pilot.pause()
        lanes = list(screen.race.query(RaceLane))
        assert len({lane.region.x for lane in lanes}) == n_columns
        assert all(lane.region.height >= 5 for lane in lanes)


@pytest.mark.parametrize(("width", "told"), [
    (160, "48/48 · TTFT 83.3 ms · 57.7 tok/s · ≠ at 6"),
    (120, "TTFT 83.3 ms · 57.7 tok/s · ≠ at 6"),
    (100, "TTFT 83.3 ms · 57.7 tok/s"),
    (60, "57.7 tok/s"),
])  # fmt: skip
async def test_a_narrow_lane_leaves_out_what_says_least(width, told):
    async with Program().app().run_test(size=(240, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("r")
        await pilot.pause()
        lane = next(lane for lane in screen.race.query(RaceLane) if lane.method_id == "onnx")
        lane.styles.width = width // 3
        await pilot.pause()
        assert lane.border_subtitle == told


async def test_a_hidden_race_stands_still():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, play=True)
        await pilot.press("c")
        await until(pilot, lambda: pilot.app.screen is not screen)
        program.now_s += 5
        screen._tick()
        assert screen._position_ns < 1_000_000_000


@pytest.mark.parametrize(("under_way", "row"), [(True, "1/2"), (False, "stopped 1/2")])
async def test_a_session_that_somebody_measures_waits_for_its_trials(tmp_path, under_way, row):
    path, _, cut = being_measured(tmp_path)
    program = Program()
    program.services = answering(program.services, under_way=lambda _path: under_way, load_session=lambda _path: cut)
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = ReplayScreen(pilot.app.context, cut, path=path)
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: row in "".join(screen.ladder.plain_rows))
        await until(pilot, lambda: ("being measured" in screen.status.state) is under_way)
        assert ("stopped" in "".join(screen.ladder.plain_rows)) is not under_way


async def test_what_comes_to_a_session_that_is_measured_is_shown_until_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "_FOLLOW_S", 0.01)
    path, whole, cut = being_measured(tmp_path)
    now = {"session": cut, "under way": True}
    read = []
    program = Program()
    program.services = answering(
        program.services,
        under_way=lambda _path: now["under way"],
        load_session=lambda each: read.append(each) or now["session"],
    )
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = ReplayScreen(pilot.app.context, cut, path=path)
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: "being measured" in screen.status.state)
        for _ in range(20):
            await pilot.pause(0.01)
        assert len(read) == 1  # a file that stays as it is is not read again
        now["session"] = whole
        os.utime(path, ns=(1, 1))
        await until(pilot, lambda: "2/2" in "".join(screen.ladder.plain_rows))
        await pilot.press("r")
        at_ns = screen._position_ns
        now["under way"] = False
        await until(pilot, lambda: "being measured" not in screen.status.state)
        await pilot.app.workers.wait_for_complete()
        assert len(read) == 3
        assert screen.has_class("-racing")  # what somebody looks at stays
        assert screen._position_ns == at_ns


async def test_a_session_that_is_gone_while_it_is_followed_stays_on_the_screen(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "_FOLLOW_S", 0.01)
    path, _, cut = being_measured(tmp_path)
    program = Program()
    program.services = answering(program.services, under_way=lambda _path: True, load_session=lambda _: cut)
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = ReplayScreen(pilot.app.context, cut, path=path)
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: "being measured" in screen.status.state)
        path.unlink()
        await pilot.app.workers.wait_for_complete()
        assert "1/2" in "".join(screen.ladder.plain_rows)


def being_measured(tmp_path):
    """Return a file, a session of two trials a method, and what is in the file after one."""
    whole = session(n_trials=2)
    path = tmp_path / "first.toml"
    path.touch()
    return path, whole, msgspec.structs.replace(whole, trials=tuple(each for each in whole.trials if each.index == 0))


def test_a_session_is_under_way_only_while_somebody_measures_it(tmp_path):
    path, other = tmp_path / "a.toml", tmp_path / "b.toml"
    under_way = Services().under_way
    assert not under_way(path)
    claim = Claim(path)
    with FileLock(paths.measurement_lock()):  # somebody else of this machine, once it is given up
        assert under_way(path)
        assert not under_way(other)
        claim.give_up()
        assert not under_way(path)


def with_users():
    """Two users who share their steps: each has every second token of what one had."""
    made = session(("kv-cache",), n_trials=1)
    (trial,) = (each for each in made.trials if not each.warmup)
    n_each = len(trial.token_ids) // 2
    users = msgspec.structs.replace(
        trial, prompt_tokens=8, max_new_tokens=n_each, n_threads=1, n_users=2, step_ns=trial.step_ns[:n_each],
        token_ids=trial.token_ids[: 2 * n_each], piece_chars=(2,) * (2 * n_each), text="a " * n_each + "b " * n_each,
        users_ttft_ns=(trial.ttft_ns, trial.ttft_ns + trial.step_ns[0]), users_n_gen=(n_each,) * 2, users_first=(0, 1),
    )  # fmt: skip
    return msgspec.structs.replace(made, trials=(users,))


async def test_a_race_shows_a_line_for_each_user():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = ReplayScreen(pilot.app.context, with_users(), path=Path("first.toml"))
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: screen.run.methods)
        await pilot.press("0", "full_stop")
        lane = screen.query_one(RaceLane)
        assert [line.partition("│")[2].strip() for line in str(lane.note).split("\n")] == ["a", "waits"]
        screen.action_seek(1000)
        await pilot.pause()
        told = [set(line.partition("│")[2].split()) for line in str(lane.note).split("\n")]
        assert told == [{"a"}, {"b"}]


async def test_results_show_the_end_of_each_users_text():
    async with Program().app().run_test(size=(120, 40)) as pilot:
        screen = ReplayScreen(pilot.app.context, with_users(), path=Path("first.toml"))
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: "a a a" in str(screen.focused_panel.text.note))
        assert "2 │ b b b" in " ".join(str(screen.focused_panel.text.note).split())


@pytest.mark.parametrize("made", [lambda: session(("kv-cache",)), with_users])
async def test_where_no_text_differs_the_key_for_it_is_not_named(made):
    async with Program().app().run_test(size=(200, 60)) as pilot:
        screen = await opened(pilot)
        assert "f Differs" in keys(screen)
        await pilot.press("escape")
        await pilot.app.push_screen(screen := ReplayScreen(pilot.app.context, made(), path=Path("first.toml")))
        await until(pilot, lambda: screen.run.methods)
        await pilot.pause()
        assert "Differs" not in keys(screen)


async def test_a_recording_that_ships_offers_no_further_trials():
    async with Program().app().run_test(size=(200, 60)) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: screen.strip.display)
        assert "R 3 more trials" in screen.strip.render().plain
        shipped = ReplayScreen(pilot.app.context, stored(), path=paths.sample_sessions() / "first.toml")
        await pilot.app.push_screen(shipped)
        await until(pilot, lambda: shipped.strip.display)
        await pilot.pause()
        assert "more trials" not in shipped.strip.render().plain
        assert "c why" in shipped.strip.render().plain
