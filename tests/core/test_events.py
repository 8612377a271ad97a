import msgspec
import pytest

from tests.scripted import engine_ready, token_stream
from tuibench.core.run.events import Heartbeat, WorkerStarted, decode, encode


@pytest.mark.parametrize(
    "event",
    [
        *token_stream([10, 20], texts=["é\n", "\x1b[0m"]),
        engine_ready(),
        Heartbeat(at_ns=1),
        WorkerStarted(at_ns=0, protocol=1, pid=2),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_survives_the_wire_on_one_line(event):
    line = encode(event)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line) == event


@pytest.mark.parametrize(
    "line", [b"", b"hello\n", b"{}", b'{"event":"token"}', b'{"event":"nothing","at_ns":1}', b"[1]", b"\xff\xfe"]
)
def test_rubbish_is_refused(line):
    with pytest.raises(msgspec.DecodeError):
        decode(line)
