"""A list reads only an outline of each trial, and says what it would say of all that is in the file."""

import random
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.campaigns.fuzz import mutated
from tests.scripted import FINISHED, failed, header, record
from tuibench import paths
from tuibench.core.machine.validity import Lamp
from tuibench.core.run.events import FailureKind, FinishReason
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.store.catalogue import summarise_session
from tuibench.store.outline import Outlines
from tuibench.store.schema import Annotation, Resumption, SessionError
from tuibench.store.session import session_from
from tuibench.store.toml_text import array_table, toml_text

FILES = sorted([*Path(__file__).with_name("samples").glob("*.toml"), *paths.sample_sessions().glob("*.toml")])
NAME = Path("s.toml")
NAMES = {
    TrialRecord: "trials", QualityRecord: "quality", Annotation: "annotations", Resumption: "resumed",
}  # fmt: skip


def as_table(value):
    return msgspec.to_builtins(value, builtin_types=(type(FINISHED),))


def written(value):
    return array_table(NAMES[type(value)], as_table(value)).encode()


def stored(*values):
    return b"\n".join([toml_text(as_table(header())).encode(), *map(written, values)])


def listed(content, *, in_full):
    try:
        return summarise_session(NAME, session_from(content, NAME, in_full=in_full))
    except SessionError as error:
        return str(error)


def outlined(content):
    """Return for each table whether it need not be read in full."""
    outlines = Outlines(content)
    return [outlines.read(match.start()) is not None for match in re.finditer(rb"^\[\[", content, re.MULTILINE)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_there_is_is_listed_as_if_it_were_read_in_full(path):
    content = path.read_bytes()
    assert listed(content, in_full=False) == listed(content, in_full=True)


def test_of_a_session_as_it_is_written_no_trial_and_no_quality_is_read_in_full():
    content = (paths.sample_sessions() / "sample-first-look.toml").read_bytes()
    assert [is_outlined for is_outlined in outlined(content) if not is_outlined] == []
    assert len(outlined(content)) == len(session_from(content, NAME).trials) + len(session_from(content, NAME).quality)


COUNTS = st.lists(st.integers(0, 10**12), max_size=5).map(tuple)
MAYBE = st.none() | st.integers(-1, 10**12)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
TRIALS = st.builds(
    TrialRecord, method=st.sampled_from(["baseline", "kv-cache", 'odd "é"\n']), index=st.integers(-1, 2),
    warmup=st.booleans(), n_prompt=MAYBE, prompt_text_sha256=st.none() | TEXT,
    finish_reason=st.none() | st.sampled_from(FinishReason), load_ns=MAYBE, ttft_ns=MAYBE, step_ns=COUNTS,
    token_ids=COUNTS, piece_chars=st.lists(st.integers(0, 9), max_size=5).map(tuple), text=TEXT, energy_uj=MAYBE,
    facts=st.lists(TEXT, max_size=3).map(tuple), lamp=st.none() | st.sampled_from(Lamp), finished=st.just(FINISHED),
)  # fmt: skip
WHOLE_TRIALS = st.builds(
    lambda trial, n: msgspec.structs.replace(
        trial, token_ids=tuple(range(n)), piece_chars=(1,) * n, step_ns=tuple(range(1, n)), text="é" * n
    ),
    TRIALS, st.integers(0, 40),
)  # fmt: skip
FAILED = st.builds(failed, st.sampled_from(["baseline", "kv-cache"]), st.sampled_from(FailureKind), message=TEXT)
FIGURES = st.none() | st.floats(allow_nan=False) | st.integers(-5, 5)
QUALITY = st.builds(
    QualityRecord, method=st.just("kv-cache"), eval_name=TEXT, eval_sha256=TEXT, n_scored=MAYBE, perplexity=FIGURES,
    kld_mean=FIGURES, top1=FIGURES, finished=st.just(FINISHED),
)  # fmt: skip
SAID = st.builds(
    Annotation,
    name=st.none() | TEXT,
    tags=st.none() | st.just(("a",)),
    note=st.none() | TEXT,
    written=st.just(FINISHED),
)


@settings(max_examples=300)
@given(st.lists(TRIALS | WHOLE_TRIALS | FAILED | QUALITY | SAID, max_size=8))
def test_any_session_is_listed_as_if_it_were_read_in_full(values):
    content = stored(*values)
    assert listed(content, in_full=False) == listed(content, in_full=True)


@settings(max_examples=400)
@given(st.integers(0, 2**32))
def test_a_damaged_session_is_listed_as_if_it_were_read_in_full(seed):
    rng = random.Random(seed)
    content = stored(
        record(), failed("kv-cache", FailureKind.KILLED), record(index=1), record("baseline"), record(warmup=True),
        QualityRecord(method="a", eval_name="t", eval_sha256="0", kld_mean=0.1, top1=0.5, finished=FINISHED),
        Annotation(name="n", written=FINISHED),
    )  # fmt: skip
    for _ in range(5):
        damaged = mutated((content,), rng)
        assert listed(damaged, in_full=False) == listed(damaged, in_full=True)


@pytest.mark.parametrize(
    ("honest", "other"),
    [
        (b"index = 0", b"index = 0 # first"),
        (b"index = 0", b"index = 0x0"),
        (b"index = 0", b"index = 0\nlater = [1, [2]]"),
        (b"step_ns = [20000000, 30000000, 25000000]", b"step_ns = [20_000_000, 3_0000000, 25000000]"),
        (b'text = "Hello, world !"', b"text = 'Hello, world !'"),
        (b'method = "kv-cache"', b"'method' = \"kv-cache\""),
    ],
)
def test_a_trial_in_another_layout_counts_as_well(honest, other):
    content = stored(record())
    assert honest in content
    changed = content.replace(honest, other)
    assert outlined(changed) == [False]
    assert listed(changed, in_full=False) == listed(content, in_full=True)


@pytest.mark.parametrize(
    ("honest", "hostile"),
    [
        (b"step_ns = [", b"step_ns = [-1, "),
        (b"step_ns = [", b"step_ns = [\r"),
        (b"step_ns = [20000000, 30000000, 25000000]", b"step_ns = [,\n]"),
        (b"step_ns = [20000000, 30000000, 25000000]", b"step_ns = [20000000, 30000000, 25000000.0]"),
        (b"piece_chars = [5, ", b"piece_chars = [900, "),
        (b"token_ids = [5, ", b"token_ids = ["),
        (b"token_ids = [5, ", b"token_ids = [5,, "),
        (b"ttft_ns = 90000000", b"ttft_ns = 0"),
        (b"index = 0", b"index = 0\nindex = 0"),
        (b"index = 0", b"index = -1"),
        (b"n_prompt = 12", b"n_prompt = 99999999999999999999"),
        (b"finished = 2026-01-02", b"finished = 2026-02-30"),
        (b'facts = ["', b'facts = [, "'),
        (b'facts = ["', b'facts = ["\\/", "'),
    ],
)
def test_a_trial_that_costs_its_table_costs_it_in_a_list(honest, hostile):
    content = stored(record(), record(index=1))
    top, *_ = content.split(b"[[trials]]")
    assert honest in content[len(top) :]
    changed = top + content[len(top) :].replace(honest, hostile, 1)
    summary = listed(changed, in_full=False)
    assert summary == listed(changed, in_full=True)
    assert summary.n_trials == 1
    assert "a table was dropped" in summary.problem


@pytest.mark.parametrize(
    ("honest", "hostile"),
    [
        (b"finished = 2026-01-02", b"finished = 2026-02-30"),
        (b"kld_mean = 0.1\n", b""),
        (b"top1 = 0.5\n", b""),
        (b"top1 = 0.5", b"top1 = 1e999"),
        (b"top1 = 0.5", b"top1 = nan"),
        (b"top1 = 0.5", b"top1 = 0.5\ntop1 = 0.5"),
        (b"top1 = 0.5", b"top1 = '0.5'"),
    ],
)
def test_a_quality_that_costs_its_table_is_told_in_a_list(honest, hostile):
    quality = QualityRecord(method="a", eval_name="t", eval_sha256="0", kld_mean=0.1, top1=0.5, finished=FINISHED)
    content = stored(quality)
    top, *_ = content.split(b"[[quality]]")
    assert outlined(content) == [True]
    assert honest in content[len(top) :]
    changed = top + content[len(top) :].replace(honest, hostile)
    summary = listed(changed, in_full=False)
    assert summary == listed(changed, in_full=True)
    assert "a table was dropped" in summary.problem
