"""What is on the disk when something goes wrong while a session is written."""

import errno
import os
import resource
import signal
import threading

import pytest

from tests.campaigns.kill_points import kill_points
from tests.scripted import FINISHED, header, record
from tuibench.store.annotations import annotate
from tuibench.store.append import move
from tuibench.store.schema import Annotation, SessionError
from tuibench.store.session import load, whole_bytes
from tuibench.store.trash import delete, restore
from tuibench.store.under_way import is_measured
from tuibench.store.writer import SessionWriter


def test_no_record_is_lost_at_any_of_200_kill_points(tmp_path):
    for part in range(40):  # files of five: one that grows without end would only test reading it
        report = kill_points(5, tmp_path / f"{part}.toml", seed=part)
        assert report.n_kills == 5
        assert report.n_lost == 0, report


def in_child(act):
    """Run in a child process and return its exit code: limits and signals must not stay."""
    child = os.fork()
    if not child:
        try:
            act()
        except BaseException:  # noqa: BLE001 - the parent sees the exit code
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_full_disk_loses_nothing_and_leaves_no_half_table(tmp_path):
    """RLIMIT_FSIZE refuses bytes in the middle of a write, as a disk that fills up does."""
    path = tmp_path / "s.toml"
    writer = SessionWriter(path, header())
    writer.append(record(index=0))
    size = path.stat().st_size

    def act():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        for room in (0, 1, 100, 500):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, hard))
            with pytest.raises(OSError, match="File too large"):
                writer.append(record(index=1 + writer.n_pending))
            assert path.stat().st_size == size
        assert writer.n_pending == 4
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        writer.flush()

    assert in_child(act) == 0
    session = load(path)
    assert [trial.index for trial in session.trials] == [0, 1, 2, 3, 4]
    assert session.dropped == ()


def test_a_disk_that_is_full_from_the_start_leaves_no_file_until_there_is_room(tmp_path):
    path = tmp_path / "new" / "s.toml"

    def act():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = SessionWriter(path, header())
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        with pytest.raises(OSError, match="File too large"):
            writer.append(record())
        assert list(path.parent.iterdir()) == []
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        writer.append(record(index=1))

    assert in_child(act) == 0
    assert len(load(path).trials) == 2


def test_a_folder_that_became_read_only_is_an_error_and_the_record_waits(tmp_path, monkeypatch):
    path = tmp_path / "s.toml"
    writer = SessionWriter(path, header())
    writer.append(record(index=0))
    real_open = os.open

    def read_only(name, flags, *rest, **more):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, "Read-only file system", str(name))
        return real_open(name, flags, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr("tuibench.store.append.os.open", read_only)
        with pytest.raises(OSError, match="Read-only"):
            writer.append(record(index=1))
    assert len(load(path).trials) == 1
    writer.flush()
    assert len(load(path).trials) == 2


def test_two_that_append_at_once_do_not_overwrite_each_other(tmp_path):
    path = tmp_path / "s.toml"
    writer = SessionWriter(path, header())
    writer.append(record(index=0))

    def annotating():
        for number in range(30):
            annotate(path, Annotation(note=str(number), written=FINISHED))

    other = threading.Thread(target=annotating)
    other.start()
    for index in range(1, 31):
        writer.append(record(index=index))
    other.join()
    session = load(path)
    assert (len(session.trials), session.annotation.note, session.dropped) == (31, "29", ())


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("mine")
    path = tmp_path / "s.toml"
    (tmp_path / f".s.toml.{os.getpid()}.tmp").symlink_to(secret)
    with pytest.raises(FileExistsError):
        SessionWriter(path, header()).append(record())
    assert secret.read_text() == "mine"


def test_whole_bytes_ends_before_half_a_table(tmp_path):
    path = tmp_path / "s.toml"
    writer = SessionWriter(path, header())
    for index in range(2):
        writer.append(record(index=index))
    content = path.read_bytes()
    second = content.rindex(b"[[trials]]")
    assert whole_bytes(path) == len(content)
    for cut in range(second + 1, len(content) - 3, 7):
        path.write_bytes(content[:cut])
        assert whole_bytes(path) == second


def test_a_note_on_a_session_that_was_cut_anywhere_costs_no_whole_table(tmp_path):
    path = tmp_path / "s.toml"
    writer = SessionWriter(path, header())
    for index in range(3):
        writer.append(record(index=index))
    content = path.read_bytes()
    for cut in range(content.index(b"[[trials]]"), len(content)):
        path.write_bytes(content[:cut])
        trials = load(path).trials
        annotate(path, Annotation(note="x", written=FINISHED))
        session = load(path)
        assert (session.trials, session.annotation.note) == (trials, "x"), content[:cut]


@pytest.fixture(
    params=[errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES], ids=errno.errorcode.get
)
def without_hard_links(request, monkeypatch):
    """FAT says EPERM, some of FUSE and NFS the others, Android's policy EACCES."""

    def link(source, _target):
        raise OSError(request.param, os.strerror(request.param), str(source))

    monkeypatch.setattr(os, "link", link)


@pytest.mark.usefixtures("without_hard_links")
def test_sessions_are_saved_and_brought_back_where_there_are_no_hard_links(tmp_path):
    path = tmp_path / "s.toml"
    writer = SessionWriter(path, header())
    for index in range(2):
        writer.append(record(index=index))
    assert len(load(path).trials) == 2
    writer.close()
    put_away = delete(path)
    path.write_text("mine")
    with pytest.raises(SessionError, match="of this name again"):
        restore(put_away)
    with pytest.raises(FileExistsError):
        SessionWriter(path, header()).append(record())
    assert path.read_text() == "mine"
    path.unlink()
    assert restore(put_away) == path
    assert len(load(path).trials) == 2
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["s.toml"]


@pytest.mark.usefixtures("without_hard_links")
def test_what_cannot_be_moved_leaves_no_empty_file_of_the_new_name(tmp_path):
    with pytest.raises(FileNotFoundError):
        move(tmp_path / "gone", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_is_measured_by_another_process_cannot_be_deleted(tmp_path):
    path = tmp_path / "s.toml"
    reading, writing = os.pipe()
    measuring = os.fork()
    if not measuring:
        writer = SessionWriter(path, header())
        writer.append(record())
        os.write(writing, b"x")
        signal.pause()
    os.read(reading, 1)
    try:
        with pytest.raises(SessionError, match=r"s\.toml: is being measured"):
            delete(path)
    finally:
        os.kill(measuring, signal.SIGKILL)
        os.waitpid(measuring, 0)
    assert (tmp_path / ".s.toml.lock").exists()  # left behind, and says nothing
    delete(path)
    assert not path.exists()


def test_a_session_that_is_finished_can_be_deleted(tmp_path):
    path = tmp_path / "s.toml"
    writer = SessionWriter(path, header())
    writer.append(record())
    assert is_measured(path)
    writer.close()
    assert not is_measured(path)
    assert [each.name for each in tmp_path.iterdir()] == ["s.toml"]
    delete(path)


def test_a_file_that_somebody_removes_while_it_is_measured_costs_no_later_record(tmp_path):
    path = tmp_path / "s.toml"
    writer = SessionWriter(path, header())
    writer.append(record(index=0))
    assert not writer.renewed()
    path.unlink()
    writer.append(record(index=1))
    writer.append(record(index=2))
    assert writer.renewed()
    assert not writer.renewed()
    assert [trial.index for trial in load(path).trials] == [1, 2]


def test_a_newer_file_is_shown_and_not_added_to(tmp_path):
    path = tmp_path / "s.toml"
    SessionWriter(path, header()).append(record())
    text = path.read_text().replace("schema_version = 1", "schema_version = 99")
    path.write_text(text + '\n[[later]]\nwhat = "?"\n')
    session = load(path)
    assert session.newer
    assert len(session.trials) == 1
    assert "newer tuibench" in session.dropped[0]
    with pytest.raises(SessionError, match="newer"):
        annotate(path, Annotation(note="x", written=FINISHED))
