"""What a partial update leaves out must not be missed."""

from textual.geometry import Region
from textual.strip import Strip

from tests.ui.scripted import Program, start, until
from tuibench.ui.screens.bench import BenchScreen


def text_of(line, x1, x2):
    return Strip.join([line]).crop(x1, x2).text


async def test_a_partial_update_paints_what_a_full_one_would(monkeypatch):
    monkeypatch.setattr(BenchScreen, "_tick", lambda _: None)  # it looks at the machine once a second
    async with Program().app().run_test(size=(120, 40)) as pilot:
        screen = pilot.app.screen
        await start(pilot)
        await until(pilot, lambda: screen.run.methods and screen._live is None)
        await pilot.pause()
        compositor = screen._compositor
        whole = compositor.render_strips()
        places = [region.intersection(clip) for region, clip in compositor.visible_widgets.values()]
        across = [Region(x, 0, 2, 40) for x in range(0, 120, 7)]  # through borders, over many widgets
        for region in [*places, *across, Region(0, 0, 120, 40)]:
            compositor._dirty_regions = {region}
            update = compositor.render_partial_update()
            for y, x1, x2 in update.spans:
                for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                    if x < x2 and end > x1:
                        assert strip is not None, f"nothing is painted at {x}, {y}"
                        assert strip.text == text_of(whole[y], x, end)


async def test_what_lies_behind_is_not_rendered(monkeypatch):
    monkeypatch.setattr(BenchScreen, "_tick", lambda _: None)
    async with Program().app().run_test(size=(120, 40)) as pilot:
        screen = pilot.app.screen
        await until(pilot, screen._facts_known.is_set)
        await pilot.pause()
        compositor, status = screen._compositor, screen.status.query_one("#state")
        compositor._dirty_regions = {compositor.visible_widgets[status][0]}
        assert compositor._seen(compositor.visible_widgets).keys() == {status}
