"""Which row of a session goes into the README of a folder."""

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from tests.core.test_by_host import rows
from tests.scripted import FINISHED, header
from tuibench.core.run.spec import Calibration
from tuibench.deploy.measured import row_of, why_not_its_row
from tuibench.store.schema import HostRecord, Session


def session(hosts):
    head = header()
    methods = tuple(dict.fromkeys(record.method for record in rows(hosts)))
    head = msgspec.structs.replace(head, settings=msgspec.structs.replace(head.settings, methods=methods))
    machines = {host: HostRecord(name=host, n_threads=9, machine=head.machine, told=FINISHED) for host in hosts if host}
    return Session(header=head, trials=tuple(rows(hosts)), hosts=machines)


def test_of_several_machines_it_is_the_row_of_this_one():
    found = row_of(Path("s.toml"), session(("big", None)), "kv-cache")
    assert found.decode_tps == pytest.approx(5, rel=0.05)
    assert found.n_threads != 9


def test_a_row_of_another_machine_is_told_as_such_and_never_held_against_this_one():
    found = row_of(Path("s.toml"), session(("big", None)), "int8")
    assert "and the machine big, " in found.lines[0]
    assert (found.decode_tps, found.n_threads) == (None, 9)


def test_a_method_that_no_machine_measured_has_no_row():
    of_big = session(("big",))
    model = SimpleNamespace(digest=of_big.header.model.digest, name="m")
    assert why_not_its_row(of_big, "int8", model, Calibration()) is None
    assert why_not_its_row(of_big, "onnx", model, Calibration()) == "it has no measured trial of onnx"
