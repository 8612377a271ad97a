import csv
import dataclasses
import io
import json
import os
import random
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from tests.measured_runs import BY_DEPTH, PARENTS, quality
from tests.scripted import failed, header, record
from tuibench.core.machine.validity import Lamp
from tuibench.core.present.columns import comparison_columns
from tuibench.core.present.report_lines import glossary
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.run.events import FailureKind
from tuibench.store.export.facts import measured_run, measured_runs
from tuibench.store.export.formats import FORMATS, exported
from tuibench.store.export.html import as_html
from tuibench.store.export.plots import as_svg, label_heights, latency_curve, plots
from tuibench.store.export.png import MissingExtraError, as_png
from tuibench.store.export.svg import GRID, INK, MUTED, PAPER
from tuibench.store.schema import Session
from tuibench.store.session import load

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = "=cmd|' /C calc'!A1<script>alert(1)</script> | `x` \x1b[2J"


MACHINE = msgspec.structs.replace(header().machine, read_bytes_per_s=20_000_000_000, n_cores_effective=2)
WEIGHT_BYTES = {"baseline": 400_000_000, "kv-cache": 400_000_000, "int8": 100_000_000, "kv-cache-lookup": 400_000_000}


def session_run(label="Kitchen table"):
    """A run of four methods and a broken one, with every kind of figure."""
    source = random.Random(7)
    trials = []
    for index in range(4):
        for method, tps, n_mib in (
            ("baseline", 6, 900), ("kv-cache", 30, 900), ("int8", 150, 300), ("kv-cache-lookup", 45, 900),
        ):  # fmt: skip
            guesses = {"n_model_steps": 5, "n_guessed": 6, "n_guessed_right": 3} if "lookup" in method else {}
            steps = (1e9 / tps * source.lognormvariate(0, 0.02) * (1 + position / 20) for position in range(8))
            trials.append(
                record(
                    method, index=index, step_ns=tuple(map(round, steps)), token_ids=(1, 2, 3, 4, 5, 6, 7, 8, 9),
                    piece_chars=(), text="Hello", lamp=Lamp.GREEN, peak_rss_bytes=n_mib << 20,
                    observer_cpu_ns=5_000_000, weight_bytes=None if index else WEIGHT_BYTES[method], **guesses,
                )
            )  # fmt: skip
    trials.append(failed("int4", FailureKind.OUT_OF_MEMORY, message="killed at 8 GiB"))
    facts = {"model": "Tiny", "cpu": "Some CPU", "threads": "2", "tokens": "9"}
    scores = (quality("baseline", 1e-12), quality("int8", 0.0045))
    methods = ("baseline", "kv-cache", "int8", "kv-cache-lookup", "int4")
    begun = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)
    return MeasuredRun(
        label, methods, tuple(trials), scores, facts, MACHINE, 2, created=begun, prompt="Why is\nthe sky blue?"
    )


def comparison(*labels):
    return compare([session_run(label) for label in labels or ("Kitchen table",)], parents=PARENTS)


def hostile():
    """Everything that comes from outside tries to be something else."""
    run = MeasuredRun(
        HOSTILE,
        ("kv-cache", HOSTILE),
        (record("kv-cache", text=HOSTILE, validity=(HOSTILE,)), failed(HOSTILE, FailureKind.ERROR, message=HOSTILE)),
        facts={"model": HOSTILE},
    )
    return compare([run], parents=PARENTS)


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"png"}))
def test_export_is_as_it_was(name):
    content = exported(comparison(), name)
    path = GOLDEN / f"session.{name}"
    if os.environ.get("TUIBENCH_UPDATE_GOLDEN"):
        path.write_bytes(content)
    assert content == path.read_bytes()


def test_comparison_of_two_sessions_is_as_it_was():
    content = exported(comparison("before", "after"), "md")
    path = GOLDEN / "two_sessions.md"
    if os.environ.get("TUIBENCH_UPDATE_GOLDEN"):
        path.write_bytes(content)
    assert content == path.read_bytes()


def test_csv_has_one_line_per_method_and_raw_numbers():
    lines = list(csv.DictReader(io.StringIO(exported(comparison(), "csv").decode())))
    assert [line["method"] for line in lines] == ["baseline", "kv-cache", "int8", "kv-cache-lookup", "int4"]
    assert float(lines[2]["decode_tps"]) > 100
    assert lines[2]["step_method"] == "kv-cache"
    assert float(lines[1]["mbu"]) == pytest.approx(400e6 * float(lines[1]["decode_tps"]) / 20e9)
    assert float(lines[3]["acceptance_rate"]) == 0.5
    assert float(lines[3]["tokens_per_step"]) == 1.6
    assert float(lines[3]["bytes_per_token"]) == 250e6
    assert lines[4]["decode_tps"] == lines[4]["mbu"] == ""
    assert lines[4]["failure_message"] == "killed at 8 GiB"


def test_every_table_tells_the_divergence_by_context_position():
    run = session_run()
    scores = (run.quality[0], quality("int8", 0.0045, **BY_DEPTH))
    told = compare([dataclasses.replace(run, quality=scores)], parents=PARENTS)
    (line,) = [line for line in csv.DictReader(io.StringIO(exported(told, "csv").decode())) if line["method"] == "int8"]
    assert (line["kld_from_256"], line["kld_from_512"], line["kld_from_512_se"]) == ("0.001", "0.003", "0.0002")
    assert "| int8 | 0.0010 ± 0.0001 | 0.0030 ± 0.0002 |" in exported(told, "md").decode()
    assert "<td>0.0030<br>± 0.0002</td>" in exported(told, "html").decode()
    (row,) = [row for row in json.loads(exported(told, "json"))["methods"] if row["method"] == "int8"]
    assert row["quality"]["depth_klds"] == [0.001, 0.003]
    plain = exported(comparison(), "md").decode() + exported(comparison(), "html").decode()
    assert "context position" not in plain
    assert "KLD at" not in plain


def test_no_cell_of_a_csv_is_a_formula():
    for line in csv.reader(io.StringIO(exported(hostile(), "csv").decode())):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in line)


def test_json_round_trips_with_every_interval():
    whole = json.loads(exported(comparison(), "json"))
    int8 = whole["methods"][2]
    assert int8["step"]["method"] == "kv-cache"
    assert int8["step"]["low"] < int8["step"]["ratio"] < int8["step"]["high"]
    assert whole["runs"][0]["recommendation"]["fastest"] == "int8"
    assert whole["runs"][0]["read_bytes_per_s"] == 20_000_000_000
    assert int8["roofline"]["mbu"] > 0.5
    assert 0 < int8["observer_share"] < 1
    assert whole["methods"][4]["failure"] == {"kind": "out-of-memory", "message": "killed at 8 GiB"}


@pytest.mark.parametrize(
    ("lamp", "grade", "headline"),
    [
        (Lamp.GREEN, "take", "take int8: fastest within KLD ≤ 0.05"),
        (Lamp.RED, "cannot tell", "cannot tell: measure again, because 4 of 4 trials were badly disturbed"),
    ],
)
def test_every_format_begins_with_the_headline_and_is_bold_only_where_it_is_sure(lamp, grade, headline):
    run = session_run()
    trials = tuple(each if each.failed else msgspec.structs.replace(each, lamp=lamp) for each in run.trials)
    found = compare([dataclasses.replace(run, trials=trials)], parents=PARENTS)
    text = {name: exported(found, name).decode() for name in FORMATS if name != "png"}
    sure = grade == "take"
    assert text["md"].splitlines()[0] == (f"**{headline}**" if sure else headline)
    assert f'<p class="{"sure verdict" if sure else "verdict"}">{headline}</p>' in text["html"]
    first = next(ElementTree.fromstring(text["svg"]).iter("{http://www.w3.org/2000/svg}text"))  # noqa: S314 - our own
    assert (first.text, first.get("font-weight")) == (headline, "bold" if sure else "normal")
    assert json.loads(text["json"])["runs"][0]["recommendation"]["headline"] == headline
    assert json.loads(text["json"])["runs"][0]["recommendation"]["grade"] == grade
    assert json.loads(text["jsonl"].splitlines()[-1])["recommendation"]["headline"] == headline
    assert f"# verdict: {headline}" in text["benchstat"].splitlines()
    lines = list(csv.DictReader(io.StringIO(text["csv"])))
    assert {line["grade"] for line in lines} == {grade}
    assert [line["method"] for line in lines if line["recommended"] == "1"] == ["int8"] * sure


def test_a_run_that_lacks_the_yardstick_borrows_no_figure_from_another():
    other = MeasuredRun("other", ("int8",), tuple(t for t in session_run().trials if t.method == "int8"))
    found = compare([session_run(), other], parents=PARENTS)
    (line,) = [
        each for each in csv.DictReader(io.StringIO(exported(found, "csv").decode())) if each["session"] == "other"
    ]
    assert line["baseline_method"] == line["baseline_ratio"] == ""
    assert ">1×<" not in "".join(plot.body for plot in plots(found, 1))


def test_names_in_a_plot_stand_beside_their_points_unless_they_are_in_each_others_way():
    heights = label_heights([(100.0, 50.0, "one"), (300.0, 51.0, "far"), (104.0, 52.0, "two")])
    assert heights == {"one": 50.0, "far": 51.0, "two": 62.0}


def test_html_is_self_contained_and_takes_no_text_for_markup():
    page = as_html(hostile())
    assert "<script" not in page
    assert "\x1b" not in page
    assert not re.search(r"""(src|href)\s*=|url\(|@import""", page)
    assert "default-src 'none'" in page


def test_a_report_tells_when_where_and_of_what_before_anything_else():
    page, markdown = as_html(comparison()), exported(comparison(), "md").decode()
    for text in (page, markdown):
        assert "2026-11-29 08:30 UTC · Tiny · Some CPU · 2 threads" in text
    assert "<pre>Why is\nthe sky blue?</pre>" in page
    parts = ("take int8", "2026-11-29", "Why is", "<svg", "All figures", "the words mean")
    order = [page.index(part) for part in parts]
    assert order == sorted(order)


def test_a_report_begins_with_the_fastest_the_identical_and_the_smallest_method():
    rows = re.search(r'<table class="choices">(.*?)</table>', as_html(comparison()), re.DOTALL)
    names = re.findall(r'<td class="left">(.*?)</td>', rows[1])
    assert names == ["int8<br>[fastest, smallest]", "kv-cache-lookup<br>[identical]"]


def test_a_report_of_a_sweep_names_its_session_once_and_its_titles_have_room():
    runs = measured_runs(load(GOLDEN.parent / "samples" / "v3-sweep.toml"), "a name")
    page = as_html(compare(runs, parents=PARENTS))
    assert "<h1>a name</h1>" in page
    drawings = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    titles = [re.findall(r'font-size="15"[^>]*>([^<]*)<', drawing) for drawing in drawings]
    assert "Best decode speed, dimmed where it cannot be told" in [" ".join(lines) for lines in titles]
    assert max(len(line) for lines in titles for line in lines) * 10 <= 440


def test_a_prompt_that_runs_share_is_told_once():
    assert as_html(comparison("before", "after")).count("<h3>Prompt</h3>") == 1


def test_a_report_defines_each_figure_that_it_shows():
    shown = comparison_columns(comparison())
    words = glossary(shown)
    facts = session_run().facts
    assert {column.heading for column in shown} - set(words) <= {"session", "method", "total", *facts}


def test_html_draws_nothing_in_a_colour_that_dark_paper_swallows():
    page = as_html(comparison())
    dark = page.partition("prefers-color-scheme: dark")[2].partition("body {")[0]
    assert all(f"[fill='{colour}']" in dark for colour in (INK, MUTED, PAPER))
    assert f"[stroke='{GRID}']" in dark


@pytest.mark.parametrize("make", [comparison, hostile])
def test_svg_is_well_formed_and_draws_no_foreign_markup(make):
    drawing = ElementTree.fromstring(as_svg(make()))  # noqa: S314 - our own text
    names = {element.tag.rpartition("}")[2] for element in drawing.iter()}
    assert names <= {"svg", "g", "rect", "text", "line", "polyline", "circle"}


def test_svg_draws_each_method_in_one_colour():
    drawing = as_svg(comparison())
    assert drawing.count('fill="#0072b2"') >= 3  # bar, point and name of the first method
    assert as_svg(compare([MeasuredRun("a", ("kv-cache",), ())], parents=PARENTS)).count("<text") == 1


def test_png_is_a_picture_of_the_svg():
    picture = as_png(comparison())
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20], "big") == 1440


def test_png_without_its_library_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tuibench\[png\]'"):
        as_png(comparison())


def test_markdown_shows_hostile_text_as_text():
    text = exported(hostile(), "md").decode()
    assert "<script" not in text.replace("\\<script", "")
    assert "\x1b" not in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def test_benchstat_lines_are_gos_format():
    text = exported(hostile(), "benchstat").decode() + exported(comparison(), "benchstat").decode()
    for line in filter(None, text.splitlines()):
        if line.startswith("Unit "):
            assert re.fullmatch(r"Unit \S+( \w+=\w+)+", line)
        elif line.startswith("Benchmark"):
            name, count, *figures = line.split()
            assert re.fullmatch(r"BenchmarkDecode/method=[^\s/]+-\d+", name)
            assert int(count) > 0
            assert len(figures) % 2 == 0
            assert all(float(value) > 0 for value in figures[::2])
        else:
            assert re.fullmatch(r"(# )?[a-z][^\sA-Z]*: .*", line)


def test_benchstat_compares_two_files_whatever_their_names():
    one, other = (exported(comparison(label), "benchstat").decode() for label in ("before", "after"))
    configuration = [{line for line in text.splitlines() if re.match(r"[a-z]", line)} for text in (one, other)]
    assert configuration[0] == configuration[1]
    both = exported(comparison("before", "after"), "benchstat").decode()
    assert {"session: before", "session: after"} <= set(both.splitlines())


def test_benchstat_has_a_line_for_every_measured_trial():
    assert exported(comparison(), "benchstat").decode().count("BenchmarkDecode/") == 16


def test_latency_curve_is_the_median_over_trials_and_thinned():
    trials = tuple(record("kv-cache", index=i, step_ns=(i + 1,) * 1000) for i in range(3))
    found = compare([MeasuredRun("a", ("kv-cache",), trials)], parents=PARENTS)
    curve = latency_curve(found, 0, "kv-cache")
    assert len(curve) <= 400
    assert {ns for _, ns in curve} == {2}
    assert curve[0][0] == 1


def test_facts_of_a_session_hold_what_may_differ():
    run = measured_run(Session(header=header(), trials=(record("kv-cache"),)), "mine")
    assert run.label == "mine"
    assert run.machine == header().machine
    assert run.facts["threads"] == str(header().settings.n_threads)
    assert {"model", "digest", "cpu", "prompt", "sampling", "tokens", "tuibench"} <= run.facts.keys()


@pytest.mark.parametrize("name", ["md", "html", "csv", "json"])
def test_a_reference_that_was_not_computed_plainly_is_told_and_a_plain_one_is_not(name):
    told = "FP32 activations; weights read layer by layer"
    run = session_run()
    streamed = dataclasses.replace(
        run, quality=tuple(msgspec.structs.replace(each, reference=told) for each in run.quality)
    )
    assert told in exported(compare([streamed], parents=PARENTS), name).decode()
    assert "layer by layer" not in exported(compare([run], parents=PARENTS), name).decode()
