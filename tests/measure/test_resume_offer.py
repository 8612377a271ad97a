"""What is known of a session that may go on, before anything is measured."""

import hashlib

import msgspec
import pytest

import tuibench
from tests.scripted import FINISHED, failed, header, record
from tuibench.core.run.events import FailureKind
from tuibench.core.run.plan import trial_order
from tuibench.core.run.record import QualityRecord
from tuibench.machine.fingerprint import machine_header
from tuibench.measure.run.evaluation_text import shipped_text
from tuibench.measure.run.resume_offer import resume_offer
from tuibench.models.local import LocalModel, ModelError
from tuibench.store.writer import SessionWriter

METHODS = ("baseline", "kv-cache")


def local(tmp_path, name, digest):
    return LocalModel(
        name=name, source="hub", directory=tmp_path, digest=digest, parameters=1, weight_bytes=4, architecture="Toy",
        dtype="F32", context_window=9,
    )  # fmt: skip


@pytest.fixture
def offer(tmp_path):
    def make(*records, named="elsewhere", models=None, **settings):
        top = header()
        order = tuple(turn.method for turn in trial_order(METHODS, 2))
        settings = msgspec.structs.replace(top.settings, methods=METHODS, n_trials=2, order=order, **settings)
        top = msgspec.structs.replace(
            top, settings=settings, machine=machine_header(), tuibench_version=tuibench.__version__
        )
        path = tmp_path / "cut.toml"
        path.unlink(missing_ok=True)
        writer = SessionWriter(path, top)
        for each in records:
            writer.append(each)
        known = {top.model.name: local(tmp_path, top.model.name, top.model.digest)} if models is None else models
        return resume_offer(path, named, known.get)

    return make


def quality(method):
    return QualityRecord(method=method, eval_name="x", eval_sha256="0" * 64, kld_mean=0.1, top1=0.9, finished=FINISHED)


def test_what_is_missing_is_counted(offer):
    found = offer(record("baseline"), failed("kv-cache", FailureKind.CRASHED))
    assert found.obstacles == ()
    assert (found.n_planned, found.n_missing(retry_failed=False), found.n_missing(retry_failed=True)) == (4, 2, 3)
    assert found.n_failed == 1
    assert found.taken(retry_failed=True).retry_failed


def test_a_session_is_complete_when_all_turns_were_taken(offer):
    whole = [record(turn.method, index=turn.index) for turn in trial_order(METHODS, 2)]
    assert offer(*whole).complete
    assert not offer(*whole, precision=0.02).complete  # more may be needed
    assert not offer(*whole[:3]).complete


def test_quality_that_was_to_be_scored_is_missing_too(offer):
    text = shipped_text()
    whole = [record(turn.method, index=turn.index) for turn in trial_order(METHODS, 2)]
    asked = {"eval_name": text.name, "eval_sha256": hashlib.sha256(text.text.encode()).hexdigest()}
    found = offer(*whole, quality("kv-cache"), **asked)
    assert found.unscored == ("baseline",)
    assert not found.complete
    assert offer(*whole, *map(quality, METHODS), **asked).complete
    assert offer(*whole).unscored == ()


def test_quality_on_a_text_of_the_user_is_left_out_and_told(offer):
    found = offer(record("baseline"), eval_name="own.txt", eval_sha256="1" * 64)
    assert found.spec.eval_text is None
    assert "own.txt" in found.notice
    assert found.obstacles == ()


def test_a_calibration_of_the_user_is_an_obstacle(offer):
    own = offer(record("baseline"), calibration_sha256="1" * 64)
    assert any("--calibration" in reason for reason in own.obstacles)
    found = offer(record("baseline"), calibration_ranges="entropy")
    assert found.obstacles == ()
    assert found.spec.calibration.ranges == "entropy"


def test_the_model_with_the_right_weights_is_taken_whatever_it_is_called(offer, tmp_path):
    name, digest = header().model.name, header().model.digest
    right, wrong = local(tmp_path, "folder", digest), local(tmp_path, name, "f" * 64)
    assert offer(record("baseline"), named="folder", models={"folder": right, name: wrong}).model is right
    found = offer(record("baseline"), named="folder", models={name: wrong})
    assert found.model is wrong
    assert any("other weights" in reason for reason in found.obstacles)


def test_a_model_that_is_not_here_is_an_obstacle(offer):
    found = offer(record("baseline"), models={})
    assert found.model is None
    assert any("not on this machine" in reason for reason in found.obstacles)


def test_a_model_that_cannot_be_used_is_as_good_as_none(offer):
    path = offer(record("baseline")).continuation.path

    def broken(_name):
        raise ModelError("damaged")

    assert resume_offer(path, "x", broken).model is None
