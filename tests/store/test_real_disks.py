"""Sessions on real disks that fill up or turn read-only: the kernel's own refusals, nothing stands in for them."""

import errno

import pytest

from tests.disks import small_disk
from tests.scripted import header, record
from tuibench.store.session import load
from tuibench.store.writer import SessionWriter


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request, tmp_path):
    with small_disk(request.param, tmp_path / "disk") as mounted:
        yield mounted


def indices(path):
    session = load(path)
    assert session.dropped == ()
    return [trial.index for trial in session.trials]


def refused(write, code):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number follows
        write()
    assert caught.value.errno == code


def test_a_disk_that_fills_up_keeps_every_record_that_was_saved_and_gets_the_rest_later(disk):
    path = disk.folder / "s.toml"
    writer = SessionWriter(path, header())
    writer.append(record(index=0))
    disk.fill(leave_bytes=30_000)
    index, refusals = 0, []
    while not refusals:
        index += 1
        try:
            writer.append(record(index=index, text="x" * 1000, piece_chars=(), token_ids=(), step_ns=()))
        except OSError as error:
            refusals.append(error.errno)
    assert refusals == [errno.ENOSPC]
    assert index > 1
    assert indices(path) == list(range(index))  # no half table at the end
    refused(lambda: writer.append(record(index=index + 1)), errno.ENOSPC)
    assert writer.n_pending == 2
    disk.empty()
    writer.flush()
    assert writer.n_pending == 0
    assert indices(path) == list(range(index + 2))


def test_a_disk_that_is_full_from_the_start_gets_its_file_when_there_is_room(disk):
    path = disk.folder / "s.toml"
    writer = SessionWriter(path, header())
    disk.fill()
    refused(lambda: writer.append(record(index=0)), errno.ENOSPC)
    assert not [each for each in disk.folder.iterdir() if "s.toml" in each.name]
    disk.empty()
    writer.append(record(index=1))
    assert indices(path) == [0, 1]


def test_a_disk_that_turns_read_only_keeps_what_was_saved_and_gets_the_rest_later(disk):
    path = disk.folder / "s.toml"
    writer = SessionWriter(path, header())
    writer.append(record(index=0))
    disk.remount("ro")
    for index in (1, 2):
        refused(lambda index=index: writer.append(record(index=index)), errno.EROFS)
    assert indices(path) == [0]
    disk.remount("rw")
    writer.flush()
    assert indices(path) == [0, 1, 2]
