"""The window that tells all that is known of a method."""

import msgspec
import pytest

from tests.measured_runs import BY_DEPTH
from tests.ui.scripted import FOUR, METHODS, Program, scored, session, until
from tuibench.core.run.events import FailureKind
from tuibench.core.run.record import QualityRecord
from tuibench.store.replay import stored_state
from tuibench.ui.screens.details import DetailsScreen

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)])
MIB = 1 << 20
TOLD_ONCE = {
    "prepare_peak_bytes": 700 * MIB, "load_peak_bytes": 800 * MIB, "kv_bytes_per_token": MIB, "context_window": 2048,
}  # fmt: skip
TOLD = {"prefill_peak_bytes": 900 * MIB, "rss_anon_bytes": 600 * MIB, "rss_file_bytes": 500 * MIB}
FULL = msgspec.structs.replace(
    scored("int8-torch"), kld_median=0.0035, kld_p99=0.0154, delta_p_mean=-0.0009, delta_p_mean_se=0.0004,
    delta_p_rms=0.0122, delta_p_rms_se=0.0006, top1_se=0.0059, perplexity=39.85, perplexity_se=3.86,
    reference_bytes=2 * MIB,
)  # fmt: skip


def stored(*quality, **changes):
    made = session(FOUR)
    trials = tuple(
        msgspec.structs.replace(each, **TOLD, **(TOLD_ONCE if each.index == 0 else {})) for each in made.trials
    )
    return stored_state(msgspec.structs.replace(made, trials=trials, quality=quality, **changes))


def text(app):
    """Return all of it, with single spaces."""
    return " ".join(str(app.screen.sheet.render()).split())


async def opened(pilot, run, method):
    await pilot.app.push_screen(DetailsScreen(run, method, METHODS))
    await until(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
    await pilot.pause()


@SIZES
async def test_details_tell_every_figure_of_the_quality_with_its_standard_error(size):
    async with Program().app().run_test(size=size) as pilot:
        await opened(pilot, stored(FULL), "int8-torch")
        for part in (
            "KLD 0.0200 ± 0.0010", "KLD median 0.0035", "KLD p99 0.0154", "Δp −0.09 % ± 0.04 %",
            "Δp RMS 1.22 % ± 0.06 %", "top-1 98.00 % ± 0.59 %", "PPL 39.85 ± 3.86", "text agrees for 48 of 48 tokens",
            "scored on text: 1000 positions, reference cached in 2.00 MiB",
        ):  # fmt: skip
            assert part in text(pilot.app)


async def test_details_tell_what_the_reference_was_where_it_was_not_the_plain_one():
    streamed = msgspec.structs.replace(FULL, reference="weights read layer by layer")
    async with Program().app().run_test(size=(120, 40)) as pilot:
        await opened(pilot, stored(streamed), "int8-torch")
        assert "reference cached in 2.00 MiB; the reference: weights read layer by layer" in text(pilot.app)


@SIZES
async def test_details_tell_memory_phase_by_phase_and_the_cache_at_two_lengths(size):
    async with Program().app().run_test(size=size) as pilot:
        await opened(pilot, stored(), "kv-cache")
        for part in (
            "prepared 700 MiB", "loaded 800 MiB", "prefilled 900 MiB", "decoded 1.07 GiB", "private 600 MiB",
            "mapped 500 MiB", "KV-cache 79.0 MiB at 79 tokens", "2.00 GiB at 2048 tokens, the model's longest text",
            "on disk 513 MiB",
        ):  # fmt: skip
            assert part in text(pilot.app)


@SIZES
async def test_details_tell_sampling_apart_where_it_was_recorded(size):
    async with Program().app().run_test(size=size) as pilot:
        await opened(pilot, stored(), "kv-cache")
        assert "sampling" not in text(pilot.app)
        run = stored()
        method = run.methods["kv-cache"]
        timed = tuple(msgspec.structs.replace(each, sampling_ns=480_000) for each in method.records)
        run.methods["kv-cache"] = msgspec.structs.replace(method, records=timed)
        await opened(pilot, run, "kv-cache")
        assert "sampling 480 µs 10.0 µs a token" in text(pilot.app)


async def test_the_end_of_the_details_is_reached_by_keys_on_a_small_terminal():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, stored(FULL), "int8-torch")
        column = pilot.app.screen.column
        assert column.max_scroll_y > 0
        await pilot.press("G")
        await until(pilot, lambda: column.scroll_offset.y == column.max_scroll_y)
        await pilot.press("right")
        await until(pilot, lambda: column.scroll_offset.y == 0)


async def test_arrows_go_from_method_to_method_and_round():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, stored(FULL), "int8-torch")
        seen = []
        for key in ("right", "right", "left", "h"):
            await pilot.press(key)
            seen.append(pilot.app.screen.column.border_title)
        assert seen == ["baseline", "kv-cache", "baseline", "int8-torch"]
        await pilot.press("d")
        await until(pilot, lambda: not isinstance(pilot.app.screen, DetailsScreen))


async def test_a_divergence_that_is_known_by_position_is_told_by_it():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, stored(msgspec.structs.replace(FULL, **BY_DEPTH)), "int8-torch")
        for part in (
            "KLD 256 – 511 0.0010 ± 0.0001", "KLD 512 – 1,022 0.0030 ± 0.0002",
            "scored on text: 1000 positions in windows of 1,024 tokens",
        ):  # fmt: skip
            assert part in text(pilot.app)


async def test_a_quality_that_failed_says_why():
    lost = QualityRecord(
        method="onnx", eval_name="text", eval_sha256="0" * 64, finished=FULL.finished,
        failure_kind=FailureKind.OUT_OF_MEMORY, failure_message="no memory left\x1b[1m",
    )  # fmt: skip
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, stored(lost), "onnx")
        assert "not scored no memory left␛[1m" in text(pilot.app)


async def test_texts_drawn_at_random_are_not_compared():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, msgspec.structs.replace(stored(), greedy=False), "onnx")
        assert "text agrees for" not in text(pilot.app)


@pytest.mark.parametrize("method", ["kv-cache", "int8-torch"])
async def test_rates_counts_and_sizes_have_names_and_headings_of_their_own(method):
    async with Program().app().run_test(size=(120, 40)) as pilot:
        await opened(pilot, stored(FULL), method)
        lines = pilot.app.screen.sheet.render().plain.splitlines()
        names = [line.split("  ")[0] for line in lines if "  " in line.strip() and not line.startswith(" ")]
        assert names.count("output") == 1
        assert "text length 48 tokens" in text(pilot.app)
        assert "text agrees for reference" not in text(pilot.app)
        peaks = text(pilot.app).partition("peak RSS at the end of each phase")[2].partition("what it is made of")[0]
        assert "decoded" in peaks
        assert "private" not in peaks


async def test_a_wide_terminal_has_two_columns_and_needs_no_scrolling():
    async with Program().app().run_test(size=(200, 60)) as pilot:
        await opened(pilot, stored(FULL), "int8-torch")
        assert pilot.app.screen.column.max_scroll_y == 0
        lines = pilot.app.screen.sheet.render().plain.splitlines()
        assert any(line.startswith("Speed ") and not line.endswith("Speed ") for line in lines)
        assert len(lines) < 30


async def test_no_text_touches_the_scroll_bar():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, stored(FULL), "int8-torch")
        screen = pilot.app.screen
        assert screen.column.max_scroll_y > 0
        assert screen.sheet.content_region.right < screen.column.scrollable_content_region.right
