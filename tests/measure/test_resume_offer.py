"""What is known of a session that may go on, before anything is measured."""

import hashlib

import msgspec
import pytest

import tuibench
from tests.scripted import FINISHED, failed, header, record
from tuibench.core.run.endpoint import Endpoint
from tuibench.core.run.events import FailureKind
from tuibench.core.run.host import Host
from tuibench.core.run.plan import trial_order
from tuibench.core.run.record import QualityRecord
from tuibench.core.run.spec import Calibration, EvalText
from tuibench.machine.fingerprint import machine_header
from tuibench.measure.run.evaluation_text import shipped_text
from tuibench.measure.run.resume_offer import GoOn, resume_offer
from tuibench.measure.run.resume_request import Asked, GivenTexts, Here, ResumeRequest
from tuibench.models.local import LocalModel, ModelError
from tuibench.store.writer import SessionWriter

METHODS = ("baseline", "kv-cache")


def local(tmp_path, name, digest):
    return LocalModel(
        name=name, source="hub", directory=tmp_path, digest=digest, parameters=1, weight_bytes=4, architecture="Toy",
        dtype="F32", context_window=9,
    )  # fmt: skip


def here(find_model, servers=(), hosts=None):
    known = {each.method: each for each in servers}
    return Here(find_model=find_model, server=lambda measured: known.get(measured.method), hosts=hosts)


@pytest.fixture
def offer(tmp_path):
    def make(*records, named="elsewhere", models=None, servers=(), hosts=None, asks=None, methods=METHODS, **settings):
        top = header()
        order = tuple(turn.method for turn in trial_order(methods, 2))
        settings = msgspec.structs.replace(top.settings, methods=methods, n_trials=2, order=order, **settings)
        top = msgspec.structs.replace(
            top, settings=settings, machine=machine_header(), tuibench_version=tuibench.__version__
        )
        path = tmp_path / "cut.toml"
        path.unlink(missing_ok=True)
        writer = SessionWriter(path, top)
        for each in records:
            writer.append(each)
        known = {top.model.name: local(tmp_path, top.model.name, top.model.digest)} if models is None else models
        return resume_offer(ResumeRequest(path=path, perhaps=named, **(asks or {})), here(known.get, servers, hosts))

    return make


def quality(method):
    return QualityRecord(method=method, eval_name="x", eval_sha256="0" * 64, kld_mean=0.1, top1=0.9, finished=FINISHED)


def test_what_is_missing_is_counted(offer):
    found = offer(record("baseline"), failed("kv-cache", FailureKind.CRASHED))
    assert found.obstacles == ()
    assert (found.n_planned, found.n_missing(retry_failed=False), found.n_missing(retry_failed=True)) == (4, 2, 3)
    assert found.n_failed == 1
    assert found.run(GoOn.FAILED_TOO).continuation.retry_failed
    assert not found.run(GoOn.MISSING).continuation.retry_failed


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

    found = resume_offer(ResumeRequest(path=path, perhaps="x"), here(broken))
    assert found.model is None
    assert found.run(GoOn.MISSING) is None


def test_a_setting_that_is_named_has_to_be_the_sessions_own(offer):
    def asked(n_trials):
        return {"asked": (Asked("n_trials", n_trials, "--trials"),)}

    assert offer(record("baseline"), asks=asked(2)).obstacles == ()
    assert any("--trials" in reason for reason in offer(record("baseline"), asks=asked(9)).obstacles)
    assert any("--control" in reason for reason in offer(record("baseline"), asks={"control": True}).obstacles)


def test_a_model_that_is_named_is_taken_alone(offer, tmp_path):
    right, wrong = local(tmp_path, header().model.name, header().model.digest), local(tmp_path, "other", "f" * 64)
    found = offer(record("baseline"), asks={"model": "other"}, models={right.name: right, "other": wrong})
    assert found.model is wrong
    assert found.run(GoOn.MISSING) is None


def test_quality_is_scored_on_the_text_that_is_named(offer):
    own = EvalText(name="own.txt", text="mine")
    texts = GivenTexts(own, shipped_text(), Calibration())
    asked = {"eval_name": own.name, "eval_sha256": hashlib.sha256(own.text.encode()).hexdigest()}
    found = offer(record("baseline"), asks={"texts": texts}, **asked)
    assert (found.spec.eval_text, found.obstacles, found.notice) == (own, (), None)


def test_a_server_goes_on_with_its_key_and_only_as_the_one_that_it_was(offer, monkeypatch):
    measured = Endpoint(url="http://a/v1", model="m", name="mine")
    keyed = msgspec.structs.replace(measured, key_env="THE_KEY")
    one = record(measured.method)
    asked = {"methods": (measured.method,), "endpoints": (measured,)}
    assert offer(one, **asked).spec.endpoints == (measured,)
    assert any("is not set" in reason for reason in offer(one, servers=[keyed], **asked).obstacles)
    monkeypatch.setenv("THE_KEY", "secret")
    found = offer(one, servers=[keyed], **asked)
    assert (found.spec.endpoints, found.obstacles) == ((keyed,), ())
    other = msgspec.structs.replace(measured, url="http://b/v1")
    assert any("was measured at http://a/v1" in reason for reason in offer(one, servers=[other], **asked).obstacles)


def test_other_machines_go_on_where_they_are_known(offer):
    one, asked = record("kv-cache@far"), {"methods": ("kv-cache@far",)}
    assert any("--resume cut" in reason for reason in offer(one, **asked).obstacles)
    assert any("add [hosts.NAME]" in reason for reason in offer(one, hosts=dict, **asked).obstacles)
    far = Host(name="far", launcher=("ssh", "-T", "far"))
    found = offer(one, hosts=lambda: {"far": far}, **asked)
    assert (found.spec.hosts, found.obstacles) == ((far,), ())
