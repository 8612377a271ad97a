import os

import pytest

from tuibench.core.run.events import FailureKind, decode
from tuibench.models.local import ModelError
from tuibench.worker.pipe import EventWriter
from tuibench.worker.serve import report_failure


@pytest.mark.parametrize("error", [ModelError("only\n  one\r\nuser"), RuntimeError("two\nlines")])
def test_a_failure_is_one_line_whatever_the_model_or_a_library_words_it_like(error):
    reading, writing = os.pipe()
    report_failure(error, EventWriter(writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as events:
        failed = decode(events.read())
    assert len(failed.message.splitlines()) == 1
    assert failed.message.split()[-1] == str(error).split()[-1]
    assert failed.kind == (FailureKind.BAD_INPUT if isinstance(error, ModelError) else FailureKind.ERROR)
