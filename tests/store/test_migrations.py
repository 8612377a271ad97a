"""Files of every schema there ever was are read for ever; none is rewritten."""

from pathlib import Path

import pytest

from tuibench.core.run.events import FailureKind
from tuibench.core.run.state import MethodStatus
from tuibench.store import session as loader
from tuibench.store.migrations import OLDEST, STEPS, Step, migrate
from tuibench.store.replay import stored_state
from tuibench.store.schema import SCHEMA_VERSION
from tuibench.store.session import load

SAMPLES = Path(__file__).with_name("samples")


def test_there_is_a_step_from_every_version_and_a_sample_of_each():
    assert sorted(STEPS) == list(range(OLDEST, SCHEMA_VERSION))
    for version in range(OLDEST, SCHEMA_VERSION + 1):
        assert list(SAMPLES.glob(f"v{version}-*.toml"))


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_sample_is_read_whole(path):
    before = path.read_bytes()
    session = load(path)
    assert session.dropped == ()
    assert session.trials
    assert not session.newer
    assert stored_state(session).methods
    assert path.read_bytes() == before


def test_the_first_release_says_what_it_said_then():
    session = load(SAMPLES / "v1-first-release.toml")
    measured = [trial for trial in session.trials if not trial.warmup]
    assert session.header.settings.methods == tuple(dict.fromkeys(trial.method for trial in measured))
    assert {method.status for method in stored_state(session).methods.values()} == {MethodStatus.DONE}
    assert all(trial.n_gen == session.header.settings.max_new_tokens for trial in measured)


def test_every_table_of_version_1_is_understood():
    session = load(SAMPLES / "v1-every-table.toml")
    assert [(trial.method, trial.warmup) for trial in session.trials] == [
        ("baseline", True), ("baseline", False), ("kv-cache", False),
    ]  # fmt: skip
    assert session.trials[-1].text == 'Grüße, \U0001f600 "x"\n\tend'
    assert [trial.failure_kind for trial in session.superseded] == [FailureKind.KILLED]
    assert [(one.n_trials, one.retry_failed) for one in session.resumed] == [(3, True)]
    assert [score.kld_mean for score in session.quality] == [0.01]
    assert (session.name, session.annotation.tags, session.annotation.note) == ("n", ("a", "b"), "x")


def test_steps_are_taken_one_after_the_other_for_the_tables_they_name():
    steps = {
        1: Step(trials=lambda table: {**table, "steps": [1]}),
        2: Step(
            trials=lambda table: {**table, "steps": [*table.get("steps", []), 2]}, header=lambda table: {"new": table}
        ),
    }
    assert migrate("trials", {}, 1, steps) == {"steps": [1, 2]}
    assert migrate("trials", {}, 2, steps) == {"steps": [2]}
    assert migrate("trials", {}, 3, steps) == {}
    assert migrate("header", {"a": 1}, 1, steps) == {"new": {"a": 1}}
    assert migrate("annotations", {"a": 1}, 1, steps) == {"a": 1}


def test_the_loader_brings_every_table_of_an_older_file_up(tmp_path, monkeypatch):
    """As if version 2 had renamed a field: a file of version 1 is read as before."""

    def renamed(table):
        return {("method" if name == "contestant" else name): value for name, value in table.items()}

    old = tmp_path / "old.toml"
    text = (SAMPLES / "v1-every-table.toml").read_text()
    top, *tables = text.split("[[")
    old.write_text("[[".join([top, *(table.replace('method = "', 'contestant = "') for table in tables)]))
    assert load(old).trials == ()
    step = {1: Step(trials=renamed, quality=renamed)}
    monkeypatch.setattr(loader, "migrate", lambda name, table, version: migrate(name, table, version, step))
    assert load(old).trials == load(SAMPLES / "v1-every-table.toml").trials
    assert load(old).dropped == ()
