import os
import threading

from tuibench.core.run.events import TokenEmitted, decode
from tuibench.worker.pipe import EventWriter, RequestReader


def token(index):
    return TokenEmitted(at_ns=index, index=index, token_id=index, text="x" * 100)


def read_all(descriptor):
    data = b""
    while chunk := os.read(descriptor, 1 << 16):
        data += chunk
    return [decode(line) for line in data.splitlines()]


def test_writing_never_waits_for_a_reader_and_loses_nothing():
    reading, writing = os.pipe()
    emit = EventWriter(writing)
    for index in range(20_000):  # several times what the pipe holds; a write that waited would never return
        emit(token(index))
    received = []
    reader = threading.Thread(target=lambda: received.extend(read_all(reading)))
    reader.start()
    emit.flush()
    os.close(writing)
    reader.join()
    assert [event.index for event in received] == list(range(20_000))


def test_a_reader_that_is_gone_stops_nothing():
    reading, writing = os.pipe()
    emit = EventWriter(writing)
    os.close(reading)
    emit(token(0))
    emit.flush()
    os.close(writing)


def test_the_end_of_requests_is_told():
    reading, writing = os.pipe()
    ended = threading.Event()
    RequestReader(on_end=ended.set, descriptor=reading)
    os.close(writing)
    assert ended.wait(10)
