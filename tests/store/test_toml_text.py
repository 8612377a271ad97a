import tomllib
from datetime import UTC, datetime

import msgspec

from tests.scripted import header
from tuibench.core.run.events import FailureKind
from tuibench.core.run.record import TrialRecord
from tuibench.store.session import load
from tuibench.store.toml_text import array_table
from tuibench.store.writer import SessionWriter

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_short_table_is_a_table_of_its_own():
    text = array_table("trials", {"method": "onnx"})
    assert text.startswith("[[trials]]\n")
    assert tomllib.loads(text) == {"trials": [{"method": "onnx"}]}


def test_a_trial_of_which_there_is_little_to_say_is_not_lost(tmp_path):
    writer = SessionWriter(tmp_path / "s.toml", header())
    short = TrialRecord(method="onnx", index=0, failure_kind=FailureKind.CANCELLED, finished=NOW)
    records = (short, msgspec.structs.replace(short, index=1))
    for record in records:
        writer.append(record)
    assert load(tmp_path / "s.toml").trials == records
