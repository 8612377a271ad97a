import signal
from contextlib import suppress

import pytest

from tuibench.cli.ended_in_order import ended_in_order
from tuibench.serving.http.answer_queue import AnswerQueue


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_ending_is_that_of_ctrl_c_and_ends_afterwards_as_before(number):
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), ended_in_order():
            signal.raise_signal(number)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_server_ends_though_its_interrupt_was_dropped():
    class Model:
        closed = False

        def close(self):
            self.closed = True

    model = Model()
    answers = AnswerQueue(lambda: model)

    def interrupted(_process):
        with suppress(KeyboardInterrupt):  # as Python does where an object is finalised
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with ended_in_order(answers.end):
            answers.run(interrupted)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert model.closed
